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
    ordered, rank = sorted(values), _rank(n)
    low, high = ordered[rank - 1], ordered[n - rank]
    middle = median(ordered)
    return (high - low) / 2 / middle if middle > 0 else math.inf


def _rank(n: int) -> int:
    """The largest rank whose order statistic, and its mirror, leave no more than 2.5 % of the binomial law outside.

    In whole numbers: behind a thousand values the binomial coefficients no longer fit a float.
    """
    term = tail = 1
    rank = 0
    while 40 * tail <= 1 << n:
        term = term * (n - rank) // (rank + 1)
        rank += 1
        tail += term
    return rank


class Criterion(Protocol):
    reason: str

    def add(self, value_ms: float, clean: bool = True) -> None:
        """Hear of one more sample, and whether nothing disturbed the machine meanwhile."""

    def finished(self) -> bool: ...


class Precise:
    """The interval of the median is tight enough."""

    reason = "precise"

    def __init__(self, target: float, minimum: int):
        self.target, self.minimum = target, minimum
        self.values: list[float] = []

    def add(self, value_ms: float, clean: bool = True) -> None:
        if clean:
            self.values.append(value_ms)

    def finished(self) -> bool:
        return len(self.values) >= self.minimum and self.half_width <= self.target

    @property
    def half_width(self) -> float:
        return median_half_width(self.values)


PATIENCE = 4
"""On a disturbed machine a cell may take this many times its budget to come by its clean samples."""


class Budget:
    """The time for this cell is spent, and the minimum number of clean samples is reached or past hoping for."""

    reason = "budget"

    def __init__(self, seconds: float, minimum: int, now: Callable[[], float] = time.monotonic):
        self.seconds, self.minimum, self.now = seconds, minimum, now
        self.begin = now()
        self.count = self.clean = 0

    def add(self, value_ms: float, clean: bool = True) -> None:
        self.count += 1
        self.clean += clean

    def finished(self) -> bool:
        spent = self.now() - self.begin
        enough = self.clean >= self.minimum or spent >= PATIENCE * self.seconds
        return self.count >= self.minimum and enough and spent >= self.seconds


class Maximum:
    """Enough samples for any purpose, clean or not."""

    reason = "maximum"

    def __init__(self, count: int):
        self.most, self.count = count, 0

    def add(self, value_ms: float, clean: bool = True) -> None:
        self.count += 1

    def reached(self, blocks: int) -> bool:
        return blocks >= self.most

    def finished(self) -> bool:
        return self.reached(self.count)
