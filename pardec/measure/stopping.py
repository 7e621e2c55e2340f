"""When to stop sampling: small interchangeable rules, each fed every measurement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Protocol


def median_half_width(values: list[float]) -> float:
    """Relative half-width of the distribution-free 95 % interval of the median (order statistics, binomial law).

    Infinite below six values, since no order-statistic interval of fewer reaches 95 %. See Hahn and Meeker,
    "Statistical Intervals", chapter on distribution-free intervals.
    """
    n = len(values)
    if n < 6:
        return math.inf
    ordered = sorted(values)
    tail, rank = 0.0, 0
    while True:
        tail += math.comb(n, rank) * 0.5**n
        if tail > 0.025:
            break
        rank += 1
    low, high = ordered[rank - 1], ordered[n - rank]
    middle = median(ordered)
    return (high - low) / 2 / middle if middle > 0 else math.inf


class Criterion(Protocol):
    reason: str

    def add(self, value_ms: float) -> None: ...

    def finished(self) -> bool: ...


class Precise:
    """The interval of the median is tight enough."""

    reason = "precise"

    def __init__(self, target: float, minimum: int):
        self.target, self.minimum = target, minimum
        self.values: list[float] = []

    def add(self, value_ms: float) -> None:
        self.values.append(value_ms)

    def finished(self) -> bool:
        return len(self.values) >= self.minimum and self.half_width <= self.target

    @property
    def half_width(self) -> float:
        return median_half_width(self.values)


class Budget:
    """The time for this cell is spent, and the minimum number of samples is reached."""

    reason = "budget"

    def __init__(self, seconds: float, minimum: int, now: Callable[[], float] = time.monotonic):
        self.seconds, self.minimum, self.now = seconds, minimum, now
        self.begin = now()
        self.count = 0

    def add(self, value_ms: float) -> None:
        self.count += 1

    def finished(self) -> bool:
        return self.count >= self.minimum and self.now() - self.begin >= self.seconds


class Maximum:
    """Enough samples for any purpose."""

    reason = "maximum"

    def __init__(self, count: int):
        self.most, self.count = count, 0

    def add(self, value_ms: float) -> None:
        self.count += 1

    def finished(self) -> bool:
        return self.count >= self.most
