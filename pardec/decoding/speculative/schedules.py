"""Schedules, which choose the number of tokens that each cycle drafts."""

from __future__ import annotations

from math import inf
from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Outcome, Schedule


class Average:
    """A running average, exponentially weighted. `value` is None before the first number."""

    def __init__(self, decay: float):
        self.decay = decay
        self.value: float | None = None

    def add(self, number: float) -> float:
        """Return the average with `number`; the past has the weight `decay`."""
        old = self.value
        self.value = number if old is None else self.decay * old + (1 - self.decay) * number
        return self.value


class Averages:
    """Running averages of tau and of seconds per size. Without a clock every cycle counts as one second, so sizes are
    compared by tau alone."""

    def __init__(self, sizes: tuple[int, ...], decay: float):
        self.tau = [Average(decay) for _ in sizes]
        self.seconds = [Average(decay) for _ in sizes]

    def add(self, index: int, outcome: Outcome) -> None:
        """Add the outcome of a cycle whose block had the size of this index: accepted tokens, and seconds."""
        self.tau[index].add(outcome.tau)
        self.seconds[index].add(1.0 if outcome.seconds is None else outcome.seconds)

    def score(self, index: int) -> float | None:
        """Return tokens per second; None for a size never tried."""
        tau, seconds = self.tau[index].value, self.seconds[index].value
        return None if tau is None or seconds is None else tau / max(seconds, 1e-9)

    def best(self, default: int) -> int:
        """Return the size with the highest score; `default` if none was tried."""
        scores = [-inf if (score := self.score(index)) is None else score for index in range(len(self.tau))]
        return scores.index(max(scores)) if max(scores) > -inf else default


def nearest(sizes: tuple[int, ...], block: int) -> int:
    """Return the index of the size nearest to `block`."""
    return min(range(len(sizes)), key=lambda index: abs(sizes[index] - block))


class FixedSettings(Settings):
    """Every cycle drafts a block of the decoder's size `block`."""

    name: Literal["fixed"] = "fixed"
    """The name of the schedule."""


class Fixed(Schedule):
    """One block size, always."""

    Settings = FixedSettings

    def __init__(self, settings: FixedSettings, block: int):
        super().__init__(settings)
        self.sizes = (block,)

    def block(self) -> int:
        return self.sizes[0]


class SizesSettings(Settings):
    """Settings of schedules that choose among block sizes."""

    sizes: tuple[int, ...] = (4, 6, 8, 12, 16)
    """Block sizes to choose from, ascending, each at least 2; a single one is a fixed block."""

    @model_validator(mode="after")
    def _ascending(self) -> SizesSettings:
        if list(self.sizes) != sorted(set(self.sizes)) or not self.sizes or self.sizes[0] < 2:
            raise ValueError("sizes must ascend, from 2 at least")
        return self


class EwmaSettings(SizesSettings):
    """Block by running averages of tau and cycle time."""

    name: Literal["ewma"] = "ewma"
    """The name of the schedule."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Weight of the past in each average."""
    warm_up: int = Field(1, ge=0, le=100)
    """Initial cycles at each size."""
    probe_every: int = Field(16, ge=2)
    """Cycles between two probes of a neighbouring size."""
    margin: float = Field(0.05, ge=0)
    """Relative margin by which another score must be better."""
    streak: int = Field(2, ge=1)
    """Consecutive times that it must be better."""
    cooldown: int = Field(4, ge=0)
    """Cycles after a change before the next."""
    low_accept: float = Field(0.0, ge=0, le=1)
    """Step down where the mean share of drafted tokens that are accepted falls below this; 0 never steps down."""


class Ewma(Schedule):
    """Choose the block by measured throughput: exponentially weighted averages of tau and of cycle time.

    Each size is tried first. Then the current size is kept, a neighbour is probed at intervals, and the size changes
    once another score was better by a margin several consecutive times. Low acceptance steps down at once.
    """

    Settings = EwmaSettings
    settings: EwmaSettings
    clocked = True

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

    def block(self) -> int:
        self.now = self.todo[0] if self.todo else self.at
        return self.sizes[self.now]

    def learn(self, outcome: Outcome) -> None:
        # A block cut by the end of the text or by another strategy does not measure its size.
        if outcome.block == self.sizes[self.now]:
            self.averages.add(self.now, outcome)
        if self.todo:
            self.todo.pop(0)
            if self.warming and not self.todo:
                self.at, self.warming = self.averages.best(self.at), False
            return
        self.cycles += 1
        self.rest = max(0, self.rest - 1)
        self._consider()
        if len(self.sizes) > 1 and self.cycles % self.settings.probe_every == 0:
            self.todo = [self._neighbour()]

    def _consider(self) -> None:
        best = self.averages.best(self.at)
        current, score = self.averages.score(self.at), self.averages.score(best)
        share = self.averages.tau[self.at].value
        low = share is not None and (share - 1) / (self.sizes[self.at] - 1) < self.settings.low_accept
        if low and self.at and not self.rest:
            self._move(self.at - 1)
            return
        wins = current is not None and score is not None and score > current * (1 + self.settings.margin)
        self.ahead = self.ahead + 1 if wins and best == self.better else int(wins)
        self.better = best
        if wins and self.ahead >= self.settings.streak and not self.rest:
            self._move(best)

    def _move(self, index: int) -> None:
        self.at, self.ahead, self.rest = index, 0, self.settings.cooldown
        self.changes += 1

    def _neighbour(self) -> int:
        """Return the next size up and the next down in turn."""
        up = (self.cycles // self.settings.probe_every) % 2
        wanted = self.at + 1 if up else self.at - 1
        return wanted if 0 <= wanted < len(self.sizes) else self.at + (-1 if up else 1)

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.now], "changes": self.changes, "probing": int(self.now != self.at)}


class BreakEvenSettings(SizesSettings):
    """Block by marginal tau against marginal cycle time."""

    name: Literal["break_even"] = "break_even"
    """The name of the schedule."""
    decay: float = Field(0.9, ge=0, lt=1)
    """Weight of the past in each average."""
    warm_up: int = Field(1, ge=1, le=100)
    """Cycles at each size to begin with, from which the time of a size is known."""


class BreakEven(Schedule):
    """Choose the block by its margin: the tokens that the next size would add against the time it would add.

    The next size pays where (tau' - tau) / (seconds' - seconds) exceeds the rate tau / seconds so far. What a
    larger block adds is estimated from the cycles themselves: how often at least j drafted tokens were
    accepted, and beyond what was drafted, by the ratio of the last two shares. So it needs one try of each
    size for its time, and no probes after.
    """

    Settings = BreakEvenSettings
    settings: BreakEvenSettings
    clocked = True

    def __init__(self, settings: BreakEvenSettings, block: int):
        super().__init__(settings)
        self.sizes = settings.sizes
        self.at = nearest(self.sizes, block)
        self.averages = Averages(self.sizes, settings.decay)
        self.reached = [Average(settings.decay) for _ in range(self.sizes[-1])]
        """By j - 1: the share of rows in which at least j drafted tokens were accepted, of those drafting so
        many."""
        self.todo = [index for _ in range(settings.warm_up) for index in range(len(self.sizes))]
        self.changes = 0

    def block(self) -> int:
        self.now = self.todo[0] if self.todo else self.at
        return self.sizes[self.now]

    def learn(self, outcome: Outcome) -> None:
        if outcome.block == self.sizes[self.now]:
            self.averages.add(self.now, outcome)
        for row in outcome.active:
            for place in range(outcome.block - 1):
                self.reached[place].add(float(outcome.accepted[row] > place))
        if self.todo:
            self.todo.pop(0)
        if not self.todo:
            before, self.at = self.at, self._choice()
            self.changes += self.at != before

    def _choice(self) -> int:
        """Return the last size whose margin over the one before pays."""
        chosen = 0
        for index in range(1, len(self.sizes)):
            longer, shorter = self.averages.seconds[index].value, self.averages.seconds[chosen].value
            if longer is None or shorter is None:
                continue
            tau = self.expected(self.sizes[chosen])
            added = self.expected(self.sizes[index]) - tau
            if added > max(longer - shorter, 0.0) * tau / shorter:
                chosen = index
        return chosen

    def expected(self, block: int) -> float:
        """Return tau of a block by the shares seen; larger blocks continue the ratio of the last two."""
        total, last, ratio = 1.0, 1.0, 1.0
        for place in range(block - 1):
            share = self.reached[place].value
            if share is None:
                share = last * ratio
            elif last > 0:
                ratio = min(1.0, share / last)
            total, last = total + share, share
        return total

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.now], "changes": self.changes}


class ThresholdSettings(SizesSettings):
    """Block by thresholds on the share of a block that is committed."""

    name: Literal["threshold"] = "threshold"
    """The name of the schedule."""
    decay: float = Field(0.8, ge=0, lt=1)
    """Weight of the past in the average of tau."""
    down: float = Field(0.4, ge=0, le=1)
    """Step down where tau falls below this share of the block."""
    up: float = Field(0.8, ge=0, le=1)
    """Step up where tau exceeds this share of the block."""

    @model_validator(mode="after")
    def _ordered(self) -> ThresholdSettings:
        if self.down >= self.up:
            raise ValueError(f"down ({self.down}) must be below up ({self.up})")
        return self


class Threshold(Schedule):
    """Choose the block by tau alone: smaller where few of its tokens are accepted, larger where nearly all
    are.

    The first proposal of seed document 003; it ignores the duration of a cycle.
    """

    Settings = ThresholdSettings
    settings: ThresholdSettings

    def __init__(self, settings: ThresholdSettings, block: int):
        super().__init__(settings)
        self.sizes = settings.sizes
        self.at = nearest(self.sizes, block)
        self.share = Average(settings.decay)
        self.changes = 0

    def block(self) -> int:
        return self.sizes[self.at]

    def learn(self, outcome: Outcome) -> None:
        share = self.share.add(outcome.tau / outcome.block)
        step = (share > self.settings.up) - (share < self.settings.down)
        moved = min(max(self.at + step, 0), len(self.sizes) - 1)
        if moved != self.at:
            self.at, self.share = moved, Average(self.settings.decay)
            self.changes += 1

    def facts(self) -> dict[str, Any]:
        return {"asked": self.sizes[self.at], "changes": self.changes}
