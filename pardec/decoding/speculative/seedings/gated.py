"""Only rejected tokens that the draft was sure of are offered, and not many."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.decoding.speculative.seedings.suffix import Suffix, SuffixSettings

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class GatedSettings(SuffixSettings):
    """Recycle tokens of high confidence under a budget."""

    name: Literal["gated"] = "gated"
    """The name of the seeding."""
    threshold: float = Field(0.9, ge=0, le=1)
    """Least probability that the draft gave its likeliest token there."""
    budget: int = Field(2, ge=0, le=64)
    """Most tokens recycled a cycle, the first ones; 0 recycles none."""


class Gated(Suffix):
    Settings = GatedSettings
    settings: GatedSettings

    def chosen(self, slots: Tensor, places: Tensor) -> Tensor:
        sure = self.last.draft.chances.amax(-1) >= self.settings.threshold
        return sure.gather(1, places)
