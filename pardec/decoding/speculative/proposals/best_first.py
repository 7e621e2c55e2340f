"""The tree of the likeliest paths under a node budget, by the draft's marginals.

A path's score is the product of its tokens' probabilities, each slot by itself, since one block pass knows no more
(OPT-Tree, arXiv:2406.17276). The best `budget` nodes of all depths are, since a child never scores above its parent,
a tree. It is found depth by depth on the device, which is not waited for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Proposal
from pardec.decoding.speculative.tree import Tree, shape_from

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

SMALLEST = 1e-9
"""Least a token may cost, so that a child scores strictly below its parent; the most is a certain loss."""


class BestFirstSettings(Settings):
    """Best-first tree on the draft's marginals."""

    name: Literal["tree"] = "tree"
    """The name of the proposal."""
    budget: int = Field(24, ge=1, le=512)
    """Nodes, the anchor not counted; what a target pass of so many tokens costs decides it."""
    top_k: int = Field(3, ge=1, le=32)
    """Tokens tried at a slot; 1 leaves a chain."""


class BestFirst(Proposal):
    Settings = BestFirstSettings
    settings: BestFirstSettings

    def nodes(self, count: int) -> int:
        return max(count, self.settings.budget)

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        count = len(draft)
        chances, ids = draft.chances.topk(min(self.settings.top_k, draft.chances.shape[-1]), -1)
        costs = chances.double().log().clamp(-1e4, -SMALLEST)
        scores, tokens, parents = self._levels(costs, ids)
        kept = scores.topk(min(self.settings.budget, scores.shape[1]), 1).indices.sort(1).values
        # Where the kept nodes stand now; 0 is the anchor.
        place = torch.zeros(len(kept), scores.shape[1] + 1, dtype=torch.long, device=kept.device)
        order = torch.arange(1, kept.shape[1] + 1, device=kept.device)
        place.scatter_(1, kept + 1, order.expand_as(kept))
        above = place.gather(1, parents.gather(1, kept))
        above = torch.cat([torch.zeros_like(above[:, :1]), above], 1)
        return Tree(shape_from(above, count, ids.shape[-1]), tokens.gather(1, kept))

    def _levels(self, costs: Tensor, ids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Scores, tokens and parents [B, M] of all nodes that may be kept, parents counted from 1 in this order (0
        is the anchor). costs, ids: [B, n, k]."""
        rows, count, top = ids.shape
        frontier, first = costs.new_zeros(rows, 1), 0
        found: list[tuple[Tensor, Tensor, Tensor]] = []
        for slot in range(count):
            reached = (frontier[:, :, None] + costs[:, slot, None]).flatten(1)
            frontier, index = reached.topk(min(self.settings.budget, reached.shape[1]), 1)
            parents = index // top + first
            first = 1 if not found else first + found[-1][0].shape[1]
            found.append((frontier, ids[:, slot].gather(1, index % top), parents))
        scores, tokens, parents = (torch.cat(part, 1) for part in zip(*found, strict=True))
        return scores, tokens, parents
