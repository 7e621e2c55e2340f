"""Figure: passes, time and correctness over the size of the table."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.grid_lines import Line, hollow, key, lines
from pardec.report.rows import Measure, measure, need, number, value_id

style = lazy("pardec.report.figures.style")

PANELS = (
    ("nfe", "forward passes"),
    ("latency_ms", "latency (ms)"),
    ("cells_right", "cells right (fraction)"),
)


def draw(tables: Tables) -> Any:
    """Draw three panels over tokens on a logarithmic axis; passes and time are logarithmic too."""
    shown = lines(need(tables, "grid"))
    rows = [row for line in shown for row in line.rows]
    canvas, panels = style.panels(3 if rows else 0, height=2.7)
    for axes, (column, words) in zip(panels, PANELS, strict=False):
        if rows:
            _panel(axes, shown, rows, column, words)
    key(canvas, shown, any(map(hollow, rows)))
    return canvas


def _panel(axes: Any, shown: list[Line], rows: list[Any], column: str, words: str) -> None:
    style.log_axis(axes.xaxis, [number(row, "new_tokens") for row in rows], base=2)
    if column == "cells_right":
        axes.set_ylim(-0.06, 1.06)
    else:
        style.log_axis(axes.yaxis, [number(row, column) for row in rows if number(row, column) > 0])
    for line in shown:
        points = [(row, Measure(number(row, "new_tokens")), measure(row, column)) for row in line.rows]
        points = [(row, x, y) for row, x, y in points if y]
        values = [(x.value, y.value) for _, x, y in points]
        if values:
            axes.plot(
                *zip(*values, strict=True),
                color=line.look["color"],
                linestyle=line.look["line"],
                linewidth=1.2,
            )
        for row, x, y in points:
            style.mark(axes, x, y, line.look, value_id("grid", row, column), hollow(row), size=4.5)
    axes.set_xlabel("tokens of the table")
    axes.set_ylabel(words)


FIGURE = Figure(
    name="passes_vs_tokens",
    title="Passes and time against size",
    tables=("grid",),
    alt=(
        "Three panels over the tokens of a table, logarithmic: forward passes, latency, and the fraction of cells "
        "right; one line a decoder. Passes that do not depend on size are a level line. Hollow marks: the tables "
        "written are not right."
    ),
    draw=draw,
)
