"""Choose the block by its margin: the tokens the next size would add against the time it would add.

A size is worth its next one up where (tau' - tau) / (seconds' - seconds) exceeds the rate tau / seconds so far. What a
larger block adds is read off the cycles themselves: how often at least j drafted tokens were accepted, and beyond
what was drafted, by the ratio of the last two. So it needs one try of each size for its time and no probes after.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Outcome, Schedule
from pardec.decoding.speculative.schedules.averages import Averages, nearest


class BreakEvenSettings(Settings):
    """Block by marginal tau against marginal cycle time."""

    name: Literal["break_even"] = "break_even"
    """The name of the schedule."""
    sizes: tuple[int, ...] = (4, 6, 8, 12, 16)
    """Blocks to choose from, ascending, each at least 2; one alone is a fixed block."""
    decay: float = Field(0.9, ge=0, lt=1)
    """Weight of the past in each average."""
    warm_up: int = Field(1, ge=1, le=100)
    """Cycles at each size to begin with, from which the time of a size is known."""

    @model_validator(mode="after")
    def _ascending(self) -> BreakEvenSettings:
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes or self.sizes[0] < 2:
            raise ValueError("sizes must ascend, from 2 at least")
        return self


class BreakEven(Schedule):
    Settings = BreakEvenSettings
    settings: BreakEvenSettings

    def __init__(self, settings: BreakEvenSettings, block: int):
        super().__init__(settings)
        self.sizes = settings.sizes
        self.at = nearest(self.sizes, block)
        self.averages = Averages(self.sizes, settings.decay)
        self.reached: list[float | None] = [None] * self.sizes[-1]
        """By j - 1: the share of rows in which at least j drafted tokens were accepted, of those drafting so many."""
        self.todo = [index for _ in range(settings.warm_up) for index in range(len(self.sizes))]
        self.changes = 0

    def largest(self) -> int:
        return self.sizes[-1]

    def block(self) -> int:
        self.now = self.todo[0] if self.todo else self.at
        return self.sizes[self.now]

    def learn(self, outcome: Outcome) -> None:
        if outcome.block == self.sizes[self.now]:
            self.averages.add(self.now, outcome)
        for row in outcome.active:
            for place in range(outcome.block - 1):
                hit = float(outcome.accepted[row] > place)
                old = self.reached[place]
                decay = self.settings.decay
                self.reached[place] = hit if old is None else decay * old + (1 - decay) * hit
        if self.todo:
            self.todo.pop(0)
        if not self.todo:
            before, self.at = self.at, self._choice()
            self.changes += self.at != before

    def _choice(self) -> int:
        """The last size whose margin over the one before pays."""
        chosen = 0
        for index in range(1, len(self.sizes)):
            if self._seconds(index) is None or self._seconds(chosen) is None:
                continue
            added = self.expected(self.sizes[index]) - self.expected(self.sizes[chosen])
            cost = self._seconds(index) - self._seconds(chosen)
            rate = self.expected(self.sizes[chosen]) / self._seconds(chosen)
            if added > max(cost, 0.0) * rate:
                chosen = index
        return chosen

    def expected(self, block: int) -> float:
        """tau of a block by the shares seen; it takes the last two to guess on."""
        total, last, ratio = 1.0, 1.0, 1.0
        for place in range(block - 1):
            share = self.reached[place]
            if share is None:
                share = last * ratio
            elif last > 0:
                ratio = min(1.0, share / last)
            total, last = total + share, share
        return total

    def _seconds(self, index: int) -> float | None:
        return self.averages.seconds[index]

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.now], "changes": self.changes}
