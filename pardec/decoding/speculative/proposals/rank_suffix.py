"""A fixed prefix, and continuations by rank: the draft's first tokens, then its likeliest, second likeliest rest."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Proposal
from pardec.decoding.speculative.tree import Tree, shape_of

torch = lazy("torch")


class RankSuffixSettings(Settings):
    """Several continuations of one prefix."""

    name: Literal["rank_suffix"] = "rank_suffix"
    """The name of the proposal."""
    prefix: int = Field(3, ge=0, le=63)
    """Drafted tokens that all continuations share."""
    ranks: int = Field(2, ge=1, le=16)
    """Continuations: the r-th takes the r-th likeliest token at its first position, then the draft's own; 1 leaves
    the chain."""
    follow: Literal["draft", "rank"] = "draft"
    """What follows that token: the draft's own tail, or again the r-th likeliest everywhere."""


class RankSuffix(Proposal):
    Settings = RankSuffixSettings
    settings: RankSuffixSettings

    def nodes(self, count: int) -> int:
        return count * self.settings.ranks

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        own, count, device = self.settings, len(draft), str(draft.tokens.device)
        parents, tokens = list(range(count)), [draft.tokens]
        size = count - own.prefix
        if size > 0 and own.ranks > 1:
            top = draft.chances[:, own.prefix :].topk(min(own.ranks, draft.chances.shape[-1]), -1).indices
            for rank in range(1, top.shape[-1]):
                first = len(parents) + 1
                parents += [own.prefix, *range(first, first + size - 1)]
                if own.follow == "rank":
                    tokens.append(top[..., rank])
                else:
                    tokens += [top[:, :1, rank], draft.tokens[:, own.prefix + 1 :]]
        return Tree(shape_of(tuple(parents), device), torch.cat(tokens, 1))
