"""Every rejected token that still has a place is offered to the next block."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.decoding.speculative.seedings.suffix import Suffix, SuffixSettings

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class DenseSettings(SuffixSettings):
    """Recycle the whole rest."""

    name: Literal["dense"] = "dense"
    """The name of the seeding."""


class Dense(Suffix):
    Settings = DenseSettings

    def chosen(self, slots: Tensor, places: Tensor) -> Tensor:
        return torch.ones_like(places, dtype=torch.bool)
