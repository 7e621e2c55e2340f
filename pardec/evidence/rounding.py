"""Round numbers to the digits that their intervals support."""

from __future__ import annotations

import math

PLAIN = 3
"""Significant digits of a number without an interval."""
MOST = 5
"""Most significant digits, even for a narrow interval."""
COUNTED = (
    "candidates", "cells", "characters", "chunks", "cycles", "expansions", "pairs", "passes", "prompts", "roots",
    "samples", "sizes", "steps", "texts", "tokens",
)  # fmt: skip
"""Units that are words, with their singular."""


def unit_words(unit: str, value: float | None) -> str:
    """Return a unit as in prose: one step, two steps."""
    if value is None or abs(value) != 1 or unit not in COUNTED:
        return unit
    return unit.removesuffix("es") if unit == "passes" else unit.removesuffix("s")


def place(value: float, low: float | None, high: float | None) -> int:
    """Return the decimal place to round to: 2 means hundredths, -1 tens.

    With an interval, the second significant digit of its half-width where the first is 1 or 2, else the first
    (so the rounding moves the number by at most a quarter of the half-width), and never more than five digits
    of the number. An interval of no width, or none, leaves three significant digits of the value.
    """
    if low is not None and high is not None and high > low:
        half = (high - low) / 2
        exponent = math.floor(math.log10(half))
        most = MOST - 1 - math.floor(math.log10(max(abs(value), half)))
        return min(-exponent + (half / 10**exponent < 3), most)
    if value == 0:
        return 0
    return PLAIN - 1 - math.floor(math.log10(abs(value)))


def printed(value: float | None, at: int) -> str | None:
    """Return `value` rounded at decimal place `at`, without exponent or negative zero."""
    if value is None:
        return None
    text = f"{round(value, at):.{max(at, 0)}f}"
    return text.removeprefix("-") if float(text) == 0 else text


def rounded(
    value: float | None, low: float | None = None, high: float | None = None
) -> tuple[str | None, ...]:
    """Return printed value, low and high, rounded at one place; whole numbers without an interval stay whole."""
    if value is None:
        return None, None, None
    has_interval = low is not None and high is not None and high > low
    if float(value).is_integer() and not has_interval and abs(value) < 1e15:
        return f"{int(value)}", *(printed(end, 0) for end in (low, high))
    at = place(value, low, high)
    return tuple(printed(number, at) for number in (value, low, high))
