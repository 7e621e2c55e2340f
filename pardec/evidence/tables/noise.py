"""A/A cells: one arm under two names, so that what differs is noise."""

from __future__ import annotations

from typing import Any

from pardec.evidence.columns import number
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.inputs import Inputs

EXPERIMENT = "noise"
DELTA = 0.03
"""A ratio within this of one is no difference of practical meaning, where the noise floor is smaller."""


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = [row for row in inputs.rows("cells") if row["experiment"] == EXPERIMENT]
    for row in rows:
        del row["key"]
        if row["ratio_low"] is not None:
            row["half_width"] = max(abs(row[end] - 1) for end in ("ratio_low", "ratio", "ratio_high"))
    return rows


def noise_floor(rows: list[dict[str, Any]]) -> float | None:
    """The largest distance from 1 that any A/A ratio's interval reaches; None without A/A cells."""
    return max((row["half_width"] for row in rows if row["half_width"] is not None), default=None)


def margin(floor: float | None) -> float | None:
    """δ, within which two times are equal for all practical purposes: a quiet machine does not narrow it."""
    return None if floor is None else max(DELTA, floor)


def verdict(low: float | None, high: float | None, floor: float | None) -> str | None:
    """What a ratio's interval says against 1 ± floor: "faster", "slower" or "no difference shown".

    None without an interval, and without a noise floor: what was not held against noise is no verdict.
    """
    if low is None or high is None or floor is None:
        return None
    if low > 1 + floor:
        return "faster"
    return "slower" if high < 1 - floor else "no difference shown"


TABLE = Table(
    name="noise",
    description="Each A/A cell with the ratio of an arm to itself; its reach from 1 is the noise floor.",
    needs=("cells",),
    key=("cell",),
    columns={
        **CELL,
        "half_width": number(
            "", "farthest that the A/A ratio or its interval lies from 1", "n_pairs", kind="precision"
        ),
    },
    build=build,
)
