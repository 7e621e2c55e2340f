"""Few branches at the first positions: the draft, and beside it the next likeliest tokens there.

Behind a branch stands the draft's own tail, which was not made for it: one pass knows no path. So one branch, the
likeliest, may have its tail drafted again with the branch in place (`refine`), at the price of a draft pass.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Hints, Proposal
from pardec.decoding.speculative.tree import Tree, shape_from, shape_of

torch = lazy("torch")


class TreeLiteSettings(Settings):
    """The draft, with branches at its first positions."""

    name: Literal["tree_lite"] = "tree_lite"
    """The name of the proposal."""
    top_k: int = Field(2, ge=1, le=8)
    """Tokens at a branching position, the draft's own among them; 1 leaves the chain."""
    depth: int = Field(5, ge=0, le=32)
    """Positions that branch, from the first."""
    tail: int = Field(1, ge=0, le=32)
    """Tokens of the draft that follow each branch."""
    refine: bool = False
    """Draft the tail of the likeliest branch again, with that branch in the block."""


class TreeLite(Proposal):
    Settings = TreeLiteSettings
    settings: TreeLiteSettings

    def nodes(self, count: int) -> int:
        own = self.settings
        return count + own.depth * (own.top_k - 1) * (1 + own.tail) + count * own.refine

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        own, count, device = self.settings, len(draft), str(draft.tokens.device)
        parents, slots = list(range(count)), list(range(count))
        places: list[tuple[int, int]] = []
        for slot in range(min(own.depth, count)):
            for rank in range(1, own.top_k):
                places.append((slot, rank))
                parents += [
                    slot,
                    *range(len(parents) + 1, len(parents) + 1 + min(own.tail, count - slot - 1)),
                ]
                slots += range(slot, slot + 1 + min(own.tail, count - slot - 1))
        if not places:
            return Tree(shape_of(tuple(parents), device), draft.tokens)
        top = draft.chances.topk(min(own.top_k, draft.chances.shape[-1]), -1)
        # Every node begins as the draft's own token of its slot; then branches take the others.
        tokens = draft.tokens[:, torch.tensor(slots, device=device)]
        heads = [node for node in range(count, len(parents)) if parents[node] == slots[node]]
        for node, (slot, rank) in zip(heads, places, strict=True):
            tokens[:, node] = top.indices[:, slot, min(rank, top.indices.shape[-1] - 1)]
        if not own.refine:
            return Tree(shape_of(tuple(parents), device), tokens)
        return self._refined(draft, bench, tokens, parents, heads, places, top.values)

    def _refined(self, draft, bench, tokens, parents, heads, places, chances) -> Tree:
        """The same with one more branch behind the likeliest alternative, drafted with that one in the block."""
        device, count = tokens.device, len(draft)
        prefix = chances[..., 0].log().cumsum(1) - chances[..., 0].log()
        told = torch.tensor(places, device=device)
        scores = prefix[:, told[:, 0]] + chances[:, told[:, 0], told[:, 1]].log()
        best = scores.argmax(1, keepdim=True)
        slot = told[:, 0][best]
        node = torch.tensor(heads, device=device)[best]
        order = torch.arange(count, device=device)
        block = draft.tokens.scatter(1, slot, tokens.gather(1, node))
        again = bench.drafter.redraft(bench.view, bench.count, bench.choose, Hints(block, order <= slot))
        # The new tail: slot + 1, slot + 2, ...; what would stand behind the block does not exist.
        where = slot + 1 + torch.arange(count - 1, device=device)
        tail = again.tokens.gather(1, where.clamp(max=count - 1))
        above = torch.tensor([[0, *parents]], device=device).expand(len(tokens), -1)
        size = len(parents)
        chain = size + 1 + torch.arange(max(count - 2, 0), device=device).expand(len(tokens), -1)
        above = torch.cat([above, node + 1, chain], 1)[:, : size + count]
        real = torch.cat([torch.ones_like(tokens, dtype=torch.bool), where < count], 1)
        shape = shape_from(above, count, self.settings.top_k + 1)
        return Tree(shape, torch.cat([tokens, tail], 1), real=real)
