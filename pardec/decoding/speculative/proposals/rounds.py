"""Several candidates at every position, each heard where those before it were refused.

The draft is the first round. The others are drawn beside it: from the same law again, or from sources that differ
(seed 003, idea 7), and each node carries the law it was drawn from, so that the residual rule stays exact.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import ROUNDS, Bench, Draft, Proposal
from pardec.decoding.speculative.laws import invert
from pardec.decoding.speculative.tree import Tree, chain_shape, shape_of

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class RoundsSettings(Settings):
    """Candidates in rounds, all verified in one pass."""

    name: Literal["rounds"] = "rounds"
    """The name of the proposal."""
    rounds: int = Field(2, ge=1, le=8)
    """Candidates a position; 1 leaves the chain."""
    source: Literal["same", "branch", "temperature", "top_k", "dropout"] = "same"
    """Where the later ones come from: the draft's law again; the same without the tokens already offered; a flatter
    law; its likeliest tokens only; a pass from features of which some are dropped."""
    heat: float = Field(2.0, gt=0, le=100)
    """For `temperature`: by how much the logits are divided further."""
    keep: int = Field(4, ge=1, le=1024)
    """For `top_k`: how many tokens."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """For `dropout`: the share of features that is dropped."""


class Rounds(Proposal):
    Settings = RoundsSettings
    settings: RoundsSettings
    rounds = True

    def nodes(self, count: int) -> int:
        return count * self.settings.rounds

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        own, count, device = self.settings, len(draft), str(draft.tokens.device)
        if own.rounds == 1:
            return Tree(chain_shape(count, device), draft.tokens, draft.laws)
        tokens, laws = [draft.tokens], [draft.laws]
        noise = bench.noise(ROUNDS, (own.rounds, count))
        later = self._later(draft, bench)
        for number in range(1, own.rounds):
            law = later
            if own.source == "branch":
                law = _without(later, tokens)
            tokens.append(invert(law, noise[:, number]))
            laws.append(law)
        parents = tuple(range(count)) * own.rounds
        return Tree(shape_of(parents, device), torch.cat(tokens, 1), torch.cat(laws, 1))

    def _later(self, draft: Draft, bench: Bench) -> Tensor:
        """The law [B, n, V] of the later rounds, before anything is taken out."""
        own = self.settings
        if own.source in ("same", "branch"):
            return draft.laws
        if own.source == "dropout":
            varied = bench.drafter.vary(bench.view, bench.count, own.dropout, bench.noise)
            return bench.law(varied[:, : len(draft)])
        if own.source == "temperature":
            return bench.law(draft.logits / own.heat)
        least = draft.laws.topk(min(own.keep, draft.laws.shape[-1]), -1).values[..., -1:]
        law = draft.laws.masked_fill(draft.laws < least, 0)
        return law / law.sum(-1, keepdim=True)


def _without(law: Tensor, offered: list[Tensor]) -> Tensor:
    """The law without the tokens already offered; itself where nothing else would be left."""
    taken = law.scatter(-1, torch.stack(offered, -1), 0.0)
    total = taken.sum(-1, keepdim=True)
    return torch.where(total > 0, taken / total.clamp(min=1e-300), law)
