"""Select the rows of the experiment on tables that the page shows. Numbers are values."""

from __future__ import annotations

from dataclasses import dataclass, field

from pardec.evidence.tables.growth import ALL, FEWEST, SAME
from pardec.report.rows import SEQUENTIAL, Row, is_parallel


@dataclass
class Tables:
    """Rows of the Mega-Grid section: rows of `grid`, and of `growth` over all sizes for one quantity each.

    sequential: the reference's growth by quantity. parallel: by arm and quantity, growth at the fewest passes with a
    right table. fastest: at each size, the fastest right parallel cell. wrong: sizes without a right cell, as rows of
    the nearest cell. literal: full passes of a model not trained for them, from small to large.
    """

    sequential: dict[str, Row] = field(default_factory=dict)
    parallel: dict[str, dict[str, Row]] = field(default_factory=dict)
    fastest: list[Row] = field(default_factory=list)
    wrong: list[Row] = field(default_factory=list)
    literal: list[Row] = field(default_factory=list)

    def constant(self, quantity: str) -> list[str]:
        """Return parallel arms in which `quantity` does not grow over all sizes measured."""
        return [arm for arm, fits in self.parallel.items() if fits[quantity]["constant_throughout"]]


def tables(grid: list[Row], growth: list[Row]) -> Tables:
    """Return the rows of the Mega-Grid by their role in the report."""
    picked = Tables()
    references = {row["arm"] for row in grid if row["role"] == "reference"}
    for row in (row for row in growth if row["experiment_kind"] == "grid" and row["span"] == ALL):
        if row["arm"] in references and row["chosen"] == SAME:
            picked.sequential[row["quantity"]] = row
        elif row["decoder"] not in SEQUENTIAL and row["chosen"] == FEWEST:
            picked.parallel.setdefault(row["arm"], {})[row["quantity"]] = row
    done = [row for row in grid if row["status"] == "ok" and row["batch"] == 1 and is_parallel(row)]
    for size in sorted({row["new_tokens"] for row in done}):
        here = [row for row in done if row["new_tokens"] == size]
        right = [row for row in here if row["right"] and row["ratio"] is not None]
        near = [row for row in here if row["cells_right"] is not None]
        if right:
            picked.fastest.append(max(right, key=lambda row: row["ratio"]))
        elif near:
            picked.wrong.append(max(near, key=lambda row: row["cells_right"]))
    full = [row for row in done if row["decoder"] == "full_passes" and row["ratio"] is not None]
    picked.literal = sorted(full, key=lambda row: row["new_tokens"])
    return picked
