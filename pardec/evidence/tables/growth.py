"""Growth of a quantity with a size: exponents by least squares on logarithms, and where it ceases to be constant."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import measured, number
from pardec.evidence.comparison import equal_within
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")


EXPONENTS = {
    **measured("exponent", "", "the exponent of all sizes, its interval from the scatter of each size's samples",
               kind="fit"),
    **measured("last_exponent", "", "exponent between the two largest sizes alone", kind="fit"),
    **measured("first_exponent", "", "exponent between the two smallest sizes alone", kind="fit"),
    "misfit": number("", "the farthest that a size lies from the power law, as a share of it", kind="fit"),
}  # fmt: skip
"""Where last and first exponent disagree, no single exponent describes the growth; `misfit` says by how much."""


def powers(
    x: Sequence[float], y: Sequence[float], ends: Sequence[tuple[float | None, float | None]]
) -> dict[str, Any]:
    """Returns columns `EXPONENTS` of y over x, in order of x; empty for fewer than two sizes."""
    low, high = ([math.nan if end[k] is None else end[k] for end in ends] for k in (0, 1))
    fit = statistics.power_law(x, y, low, high)
    if fit is None:
        return {}
    return {
        **interval("exponent", fit.exponent),
        **interval("last_exponent", fit.local[-1]),
        **interval("first_exponent", fit.local[0]),
        "misfit": fit.misfit,
        "n": fit.exponent.n,
    }


def grown(
    x: Sequence[float], y: Sequence[float], ends: Sequence[tuple[float | None, float | None]], slope: str
) -> dict[str, Any]:
    """Returns columns that describe y over x, in order of x, for at least two sizes. slope: the column of dy/dx."""
    line = statistics.linear_slope(x, y)
    return {**powers(x, y, ends), **interval(slope, line), "growth": y[-1] / y[0]}


def constant_to(rows: list[dict[str, Any]], size: str, end: Callable[[dict[str, Any], str], float]) -> int:
    """Returns the largest size up to which a quantity is not shown to exceed that of the smallest size.

    Its interval must overlap the smallest's, widened by `comparison.equal_within`.

    rows: in order of the column `size`. end: the "low" or "high" end of a row's interval.
    """
    first = rows[0]
    ceiling = end(first, "high") * (1 + equal_within(first["noise_floor"]))
    reached = first[size]
    for row in rows[1:]:
        if end(row, "low") > ceiling:
            break
        reached = row[size]
    return reached
