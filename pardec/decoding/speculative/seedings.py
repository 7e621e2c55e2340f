"""Seedings: what becomes of drafted tokens behind a rejected one."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Hints, Outcome, Seeding

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class SuffixSettings(Settings):
    """Settings of seedings that recycle the rejected suffix of a block."""

    keep: bool = True
    """Whether a recycled token is proposed again at its position; if false, the draft only reads it and writes
    that slot anew."""
    budget: int = Field(64, ge=0, le=64)
    """Most tokens recycled per cycle, the first ones; 0 recycles none."""


class Suffix(Seeding):
    """What all kinds of suffix recycling share: the rejected rest of a draft, at its positions in the next
    block.

    The target refused token a + 1 of a draft and wrote its own in its place, which is the next anchor. The
    rest keeps its positions: slot s + a + 1 behind the old anchor is slot s behind the new one.
    """

    settings: SuffixSettings

    def __init__(self, settings: SuffixSettings):
        super().__init__(settings)
        self.keeps = settings.keep
        self.last: Outcome | None = None
        self.seeded: Any = 0

    def learn(self, outcome: Outcome) -> None:
        self.last = outcome

    def hints(self, count: int) -> Hints | None:
        self.seeded = 0
        if self.last is None or not len(self.last.draft):
            return None
        draft, device = self.last.draft, self.last.draft.tokens.device
        shift = _column(self.last.accepted, device) + 1
        slots = torch.arange(count, device=device)
        sources = slots + shift
        where = sources < len(draft)
        sources = sources.clamp(max=len(draft) - 1)
        where = where & self.chosen(slots, sources)
        where = where & (where.cumsum(1) <= self.settings.budget)
        self.seeded = where.sum()
        return Hints(draft.tokens.gather(1, sources), where)

    @abstractmethod
    def chosen(self, slots: Tensor, sources: Tensor) -> Tensor:
        """Return which of the next block's `slots` [n] take a token. sources: [B, n], its slot in the last
        draft."""

    def facts(self) -> dict[str, Any]:
        return {"seeded": self.seeded}


class DenseSettings(SuffixSettings):
    """Recycle the whole rest."""

    name: Literal["dense"] = "dense"
    """The name of the seeding."""


class Dense(Suffix):
    """Every rejected token that has a slot in the next block is offered to it."""

    Settings = DenseSettings

    def chosen(self, slots: Tensor, sources: Tensor) -> Tensor:
        return torch.ones_like(sources, dtype=torch.bool)


class SparseSettings(SuffixSettings):
    """Recycle every other token of the rest."""

    name: Literal["sparse"] = "sparse"
    """The name of the seeding."""


class Sparse(Suffix):
    """Every other rejected token is offered: `[anchor, mask, old, mask, old, ...]`."""

    Settings = SparseSettings

    def chosen(self, slots: Tensor, sources: Tensor) -> Tensor:
        return (slots % 2 == 1).expand_as(sources)


class GatedSettings(SuffixSettings):
    """Recycle tokens of high confidence under a budget."""

    name: Literal["gated"] = "gated"
    """The name of the seeding."""
    threshold: float = Field(0.9, ge=0, le=1)
    """Least probability that the draft gave its most probable token there."""
    budget: int = Field(2, ge=0, le=64)
    """Most tokens recycled per cycle, the first ones; 0 recycles none."""


class Gated(Suffix):
    """Only rejected tokens that the draft was sure of are offered, up to a budget."""

    Settings = GatedSettings
    settings: GatedSettings

    def chosen(self, slots: Tensor, sources: Tensor) -> Tensor:
        assert self.last is not None
        sure = self.last.draft.probabilities.amax(-1) >= self.settings.threshold
        return sure.gather(1, sources)


def _column(values: list[int], device: Any) -> Tensor:
    """Return [B, 1] long on `device`; for a single row by a fill, which copies nothing from the host."""
    if len(values) == 1:
        return torch.full((1, 1), values[0], device=device)
    return torch.tensor(values, device=device)[:, None]
