"""Choose the block by measured throughput: tau over cycle time, both as exponentially weighted averages.

Each size is tried first; then the current one is kept, another is probed now and again, and the size changes when
another's score has been better by a margin for a while. Low acceptance steps down at once.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Outcome, Schedule
from pardec.decoding.speculative.schedules.averages import Averages, nearest


class EwmaSettings(Settings):
    """Block by running averages of tau and cycle time."""

    name: Literal["ewma"] = "ewma"
    """The name of the schedule."""
    sizes: tuple[int, ...] = (4, 6, 8, 12, 16)
    """Blocks to choose from, ascending, each at least 2; one alone is a fixed block."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Weight of the past in each average."""
    warm_up: int = Field(1, ge=0, le=100)
    """Cycles at each size to begin with."""
    probe_every: int = Field(16, ge=2)
    """Cycles between two probes of a neighbouring size."""
    margin: float = Field(0.05, ge=0)
    """Share by which another score must be better."""
    streak: int = Field(2, ge=1)
    """How many times in a row."""
    cooldown: int = Field(4, ge=0)
    """Cycles after a change before the next."""
    low_accept: float = Field(0.0, ge=0, le=1)
    """Step down where the share of drafted tokens that is accepted falls below this on average; 0 never does."""

    @model_validator(mode="after")
    def _ascending(self) -> EwmaSettings:
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes or self.sizes[0] < 2:
            raise ValueError("sizes must ascend, from 2 at least")
        return self


class Ewma(Schedule):
    Settings = EwmaSettings
    settings: EwmaSettings

    def __init__(self, settings: EwmaSettings, block: int):
        super().__init__(settings)
        self.sizes = settings.sizes
        self.at = nearest(self.sizes, block)
        self.averages = Averages(self.sizes, settings.decay)
        self.todo = [index for _ in range(settings.warm_up) for index in range(len(self.sizes))]
        self.warming = bool(self.todo)
        self.cycles = self.ahead = self.changes = 0
        self.rest = settings.cooldown
        self.better: int | None = None

    def largest(self) -> int:
        return self.sizes[-1]

    def block(self) -> int:
        self.now = self.todo[0] if self.todo else self.at
        return self.sizes[self.now]

    def learn(self, outcome: Outcome) -> None:
        # A block cut short by the end of the text, or by another strategy, says nothing of its size.
        if outcome.block == self.sizes[self.now]:
            self.averages.add(self.now, outcome)
        if self.todo:
            self.todo.pop(0)
            if self.warming and not self.todo:
                self.at, self.warming = self._best(), False
            return
        self.cycles += 1
        self.rest = max(0, self.rest - 1)
        self._consider()
        if len(self.sizes) > 1 and self.cycles % self.settings.probe_every == 0:
            self.todo = [self._neighbour()]

    def _consider(self) -> None:
        best, own = self._best(), self.averages.score(self.at)
        share = self.averages.tau[self.at]
        low = share is not None and (share - 1) / (self.sizes[self.at] - 1) < self.settings.low_accept
        if low and self.at and not self.rest:
            self._move(self.at - 1)
            return
        wins = own is not None and self.averages.score(best) > own * (1 + self.settings.margin)
        self.ahead = self.ahead + 1 if wins and best == self.better else int(wins)
        self.better = best
        if wins and self.ahead >= self.settings.streak and not self.rest:
            self._move(best)

    def _move(self, index: int) -> None:
        self.at, self.ahead, self.rest = index, 0, self.settings.cooldown
        self.changes += 1

    def _best(self) -> int:
        known = [index for index in range(len(self.sizes)) if self.averages.score(index) is not None]
        return max(known, key=self.averages.score, default=self.at)

    def _neighbour(self) -> int:
        """The next size up and the next down in turn."""
        up = (self.cycles // self.settings.probe_every) % 2
        wanted = self.at + 1 if up else self.at - 1
        return wanted if 0 <= wanted < len(self.sizes) else self.at + (-1 if up else 1)

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.now], "changes": self.changes, "probing": int(self.now != self.at)}
