"""Stopping rules for sampling: small and interchangeable; each receives every measurement."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from statistics import median
from typing import Protocol


def median_half_width(values: list[float]) -> float:
    """Return the relative half-width of the median's distribution-free 95 % interval (order statistics, binomial).

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
    """Return the largest rank such that each tail outside its order statistic and the mirrored one has at most 2.5 % of
    the binomial distribution.

    Uses integers: beyond a thousand values the binomial coefficients overflow a float.
    """
    term = tail = 1
    rank = 0
    while 40 * tail <= 1 << n:
        term = term * (n - rank) // (rank + 1)
        rank += 1
        tail += term
    return rank


class Criterion(Protocol):
    """A rule that ends sampling; `reason` is its name in the record."""

    reason: str

    def add(self, value_ms: float, clean: bool = True) -> None:
        """Add one sample in milliseconds; clean: whether nothing disturbed the machine meanwhile."""

    def finished(self) -> bool: ...


class Precise:
    """Stops once the interval of the median is narrower than the target."""

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
        """Return half the width of the median's 95 % interval, as a share of the median."""
        return median_half_width(self.values)


PATIENCE = 4
"""On a disturbed machine a cell may take this many times its budget to collect its clean samples."""


class Budget:
    """Stops once the cell's time is spent, and enough clean samples exist or `PATIENCE` is exhausted."""

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
    """Stops at a maximum number of samples, clean or not."""

    reason = "maximum"

    def __init__(self, count: int):
        self.most, self.count = count, 0

    def add(self, value_ms: float, clean: bool = True) -> None:
        self.count += 1

    def reached(self, blocks: int) -> bool:
        """Return whether this many blocks are the maximum."""
        return blocks >= self.most

    def finished(self) -> bool:
        return self.reached(self.count)
