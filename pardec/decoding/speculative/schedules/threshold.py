"""Choose the block by tau alone: a smaller one where few of its tokens are accepted, a larger one where nearly all are.

What the seed began with; it cannot see what a cycle costs.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Outcome, Schedule
from pardec.decoding.speculative.schedules.averages import nearest


class ThresholdSettings(Settings):
    """Block by thresholds on the share of a block that is committed."""

    name: Literal["threshold"] = "threshold"
    """The name of the schedule."""
    sizes: tuple[int, ...] = (4, 6, 8, 12, 16)
    """Blocks to choose from, ascending, each at least 2; one alone is a fixed block."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Weight of the past in the average of tau."""
    down: float = Field(0.4, ge=0, le=1)
    """Step down where tau falls below this share of the block."""
    up: float = Field(0.8, ge=0, le=1)
    """Step up where tau exceeds this share of the block."""

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdSettings:
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes or self.sizes[0] < 2:
            raise ValueError("sizes must ascend, from 2 at least")
        if self.down >= self.up:
            raise ValueError(f"down ({self.down}) must be below up ({self.up})")
        return self


class Threshold(Schedule):
    Settings = ThresholdSettings
    settings: ThresholdSettings

    def __init__(self, settings: ThresholdSettings, block: int):
        super().__init__(settings)
        self.sizes = settings.sizes
        self.at = nearest(self.sizes, block)
        self.share: float | None = None
        self.changes = 0

    def largest(self) -> int:
        return self.sizes[-1]

    def block(self) -> int:
        return self.sizes[self.at]

    def learn(self, outcome: Outcome) -> None:
        share, decay = outcome.tau / outcome.block, self.settings.decay
        self.share = share if self.share is None else decay * self.share + (1 - decay) * share
        step = (self.share > self.settings.up) - (self.share < self.settings.down)
        moved = min(max(self.at + step, 0), len(self.sizes) - 1)
        if moved != self.at:
            self.at, self.share = moved, None
            self.changes += 1

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.at], "changes": self.changes}
