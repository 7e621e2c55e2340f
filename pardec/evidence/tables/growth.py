"""How a quantity grows with a size: exponents by least squares on logarithms, and where it ceases to be constant."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from pardec.common.lazy import lazy

statistics = lazy("pardec.evidence.statistics")


def grown(x: Sequence[float], y: Sequence[float], slope: str) -> dict[str, Any]:
    """Columns that describe y over x, in order of x, two sizes at least. slope: the column of dy/dx."""
    power, line = statistics.loglog_slope(x, y), statistics.linear_slope(x, y)
    return {
        "exponent": power.value,
        "exponent_low": power.low,
        "exponent_high": power.high,
        slope: line.value,
        f"{slope}_low": line.low,
        f"{slope}_high": line.high,
        "last_exponent": statistics.loglog_slope(x[-2:], y[-2:]).value,
        "n": power.n,
        "growth": y[-1] / y[0],
    }


def constant_to(rows: list[dict[str, Any]], size: str, end: Callable[[dict[str, Any], str], float]) -> int:
    """The largest size up to which a quantity is not shown to exceed that of the smallest: its interval reaches the
    smallest's, widened by the noise floor.

    rows: in order of the column `size`. end: the "low" or "high" end of a row's interval.
    """
    first = rows[0]
    ceiling = end(first, "high") * (1 + (first["noise_floor"] or 0.0))
    reached = first[size]
    for row in rows[1:]:
        if end(row, "low") > ceiling:
            break
        reached = row[size]
    return reached
