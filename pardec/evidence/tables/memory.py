"""Memory over length and batch, split into what fills it."""

from __future__ import annotations

from typing import Any

from pardec.evidence.columns import SOURCES
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import MEMORY, TIME, WHAT
from pardec.evidence.tables.inputs import Inputs

EXPERIMENTS = ("memory", "length")
"""The first of these that a study has; `length` is its grid of lengths and batch sizes."""

COLUMNS = {**WHAT, "n": TIME["n"], **MEMORY, **SOURCES}


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = inputs.rows("cells")
    chosen = next((name for name in EXPERIMENTS if any(row["experiment"] == name for row in rows)), None)
    return [{name: row[name] for name in COLUMNS} for row in rows if row["experiment"] == chosen]


TABLE = Table(
    name="memory",
    description="Peak memory by length and batch: allocated, reserved, and how it divides; failed cells "
    "included.",
    needs=("cells",),
    key=("cell",),
    columns=COLUMNS,
    build=build,
)
