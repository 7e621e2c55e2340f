"""Every other rejected token is offered: `[anchor, mask, old, mask, old, ...]`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.decoding.speculative.seedings.suffix import Suffix, SuffixSettings

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class SparseSettings(SuffixSettings):
    """Recycle every other token of the rest."""

    name: Literal["sparse"] = "sparse"
    """The name of the seeding."""


class Sparse(Suffix):
    Settings = SparseSettings

    def chosen(self, slots: Tensor, places: Tensor) -> Tensor:
        return (slots % 2 == 1).expand_as(places)
