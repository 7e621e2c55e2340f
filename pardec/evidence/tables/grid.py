"""Table `grid`: large generated tables with their passes, time, and share of right cells."""

from __future__ import annotations

import json
import math
from typing import Any

from pardec.evidence.columns import Column, count, flag, measured
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.views import of_kind

EXPERIMENT = "grid"
RIGHT = 0.99
"""Least share of right cells for a table to count as right; it is also the models' floor."""
SCORES = {"cells": "cells_right", "rows": "rows_right", "exact": "grids_right", "parses": "parses"}
"""Metrics of a generated table, and their columns."""

SIZE: dict[str, Column] = {
    "side": count("rows, and columns, of the square that fills the canvas", "cells"),
    "passes_set": count("passes after which the decoder stops; empty where it sets none"),
    **measured(
        "cells_right",
        "",
        "fraction of cells right, mean over prompts",
        count="quality_n",
        kind="quality",
        better="higher",
    ),
    **measured(
        "rows_right",
        "",
        "fraction of rows right to the last cell, mean over prompts",
        count="quality_n",
        kind="quality",
        better="higher",
    ),
    **measured(
        "grids_right",
        "",
        "fraction of outputs right to the last cell",
        count="quality_n",
        kind="quality",
        better="higher",
    ),
    **measured(
        "parses",
        "",
        "fraction of outputs that are a table of integers",
        count="quality_n",
        kind="quality",
        better="higher",
    ),
    "right": flag(f"whether at least {RIGHT} of the cells are right"),
}


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = of_kind(inputs, EXPERIMENT)
    for row in rows:
        side = math.isqrt(row["new_tokens"])
        row["side"] = side if side * side == row["new_tokens"] else None
        row["passes_set"] = json.loads(row["settings"] or "{}").get("passes")
        score = inputs.scores.get(row["scores"])
        for metric, column in SCORES.items():
            scored = score.body["metrics"].get(metric) if score else None
            if scored:
                row[column] = scored["value"]
                row[f"{column}_low"], row[f"{column}_high"] = scored.get("low"), scored.get("high")
        if row.get("cells_right") is not None:
            row["right"] = row["cells_right"] >= RIGHT
    return rows


TABLE = Table(
    name="grid",
    description="One row a cell of the Mega-Grid: passes, time and correctness by size.",
    needs=("cells", "scores"),
    key=("cell",),
    columns={**CELL, **SIZE},
    build=build,
    view_of="cells",
)
