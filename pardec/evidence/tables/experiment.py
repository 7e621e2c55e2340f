"""The table of one experiment: its cells, each with the verdict on its ratio."""

from __future__ import annotations

from typing import Any

from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL, VERDICT
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.noise import noise_floor, verdict

MIN_PAIRS = 6
"""Fewest clean pairs for a verdict: below six no order-statistic interval of a median reaches 95 %."""


def cut(inputs: Inputs, experiment: str) -> list[dict[str, Any]]:
    """Rows of `cells` that belong to `experiment`, with noise floor and verdict."""
    floor = noise_floor(inputs.rows("noise"))
    rows = [row for row in inputs.rows("cells") if row["experiment"] == experiment]
    for row in rows:
        del row["key"]
        row["noise_floor"] = floor
        enough = (row["n_pairs"] or 0) >= MIN_PAIRS
        row["verdict"] = verdict(row["ratio_low"], row["ratio_high"], floor) if enough else None
    return rows


def experiment_table(name: str, description: str) -> Table:
    return Table(
        name=name,
        description=description,
        needs=("cells", "noise"),
        key=("cell",),
        columns={**CELL, **VERDICT},
        build=lambda inputs: cut(inputs, name),
    )
