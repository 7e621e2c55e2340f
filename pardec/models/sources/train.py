"""A model trained by the workflow itself."""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.models.registry import FAMILIES
from pardec.models.training.settings import OptimiserSettings, PositionSettings, SizeSettings

Objective: Any = Annotated[
    reduce(or_, [FAMILIES.load(name).Settings for name in FAMILIES]), Field(discriminator="family")
]


class TrainSettings(Settings):
    """A model trained here, on a data set of the study, for a fixed number of steps."""

    source: Literal["train"]
    """Where the model comes from."""
    data: str = Field(min_length=1)
    """The data set it learns from."""
    objective: Objective
    """The family of the model and what it is trained to predict."""
    init: str | None = None
    """Another trained model of the study, of the same size and data, whose weights it starts from."""
    teachers: dict[str, str] = Field(default_factory=dict)
    """Other models of the study that its training runs, by what its family calls them: {target: ar-text}."""
    size: SizeSettings = SizeSettings()
    """How large it is."""
    positions: PositionSettings | None = None
    """Learned positions beside the rotary ones; a causal model needs `objective.subset` with them."""
    canvas: int | None = Field(None, ge=1, le=65_536)
    """Tokens of the canvas it fills, end-of-sequence tokens included; null: each task's longest answer. Text
    has none."""
    steps: int = Field(1000, ge=1, le=10_000_000)
    """Optimiser steps."""
    batch: int = Field(64, ge=1, le=65_536)
    """Examples a step."""
    group_by_length: bool = False
    """Whether the answers of a batch have similar lengths, so that little of it is padding. Useful for answers of very
    unequal length, in families that do not learn the filling of a canvas (autoregressive, draft)."""
    optimiser: OptimiserSettings = OptimiserSettings()
    """Learning rates and their schedule."""
    threads: int = Field(1, ge=1, le=1024)
    """Processor threads; the same number gives the same weights on the same machine."""

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.objective.family

    @model_validator(mode="after")
    def _learned_positions(self) -> TrainSettings:
        subset = getattr(self.objective, "subset", None)
        if subset is not None and (self.positions is None or self.positions.rotary):
            raise ValueError("objective.subset: needs learned positions, and positions.rotary: false")
        if self.positions is not None and FAMILIES.load(self.family).causal and subset is None:
            raise ValueError(
                f"positions: the {self.family} family is a plain Llama; remove this key, or set objective.subset"
            )
        return self

    @model_validator(mode="after")
    def _taught(self) -> TrainSettings:
        wanted = set(FAMILIES.load(self.family).taught_by)
        if set(self.teachers) != wanted:
            raise ValueError(
                f"teachers: the {self.family} family needs {', '.join(sorted(wanted)) or 'none'}, "
                f"not {', '.join(sorted(self.teachers)) or 'none'}"
            )
        return self
