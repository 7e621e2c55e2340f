"""Branches where the draft is least sure, wherever that is in the block."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Proposal
from pardec.decoding.speculative.tree import Tree, chain_shape, shape_from

torch = lazy("torch")


class ConfidenceSettings(Settings):
    """The draft, with its second choice at the positions of the smallest margins."""

    name: Literal["confidence"] = "confidence"
    """The name of the proposal."""
    branches: int = Field(3, ge=0, le=32)
    """Positions that branch; 0 leaves the chain."""
    tail: int = Field(2, ge=0, le=32)
    """Tokens of the draft that follow each branch."""


class Confidence(Proposal):
    Settings = ConfidenceSettings
    settings: ConfidenceSettings

    def nodes(self, count: int) -> int:
        return count + self.settings.branches * (1 + self.settings.tail)

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        own, count, device = self.settings, len(draft), draft.tokens.device
        branches = min(own.branches, count)
        if not branches:
            return Tree(chain_shape(count, str(device)), draft.tokens)
        values, ids = draft.chances.topk(2, -1)
        slots = (values[..., 0] - values[..., 1]).topk(branches, 1, largest=False).indices
        heads = ids[..., 1].gather(1, slots)
        # Branch by branch: the second choice behind the slot's own parent, then the draft's tail, what there is.
        steps = torch.arange(1, own.tail + 1, device=device)
        where = slots[..., None] + steps
        tails = draft.tokens[:, None].expand(-1, branches, -1).gather(2, where.clamp(max=count - 1))
        tokens = torch.cat([heads[..., None], tails], 2).flatten(1)
        real = torch.cat([torch.ones_like(slots, dtype=torch.bool)[..., None], where < count], 2).flatten(1)
        first = count + 1 + torch.arange(branches, device=device)[:, None] * (1 + own.tail)
        chains = (first + steps - 1).expand(len(slots), -1, -1)
        above = torch.cat([slots[..., None], chains], 2).flatten(1)
        main = torch.arange(count, device=device).expand(len(slots), -1)
        parents = torch.cat([torch.zeros_like(main[:, :1]), main, above], 1)
        real = torch.cat([torch.ones_like(main, dtype=torch.bool), real], 1)
        shape = shape_from(parents, count, 2)
        return Tree(shape, torch.cat([draft.tokens, tokens], 1), real=real)
