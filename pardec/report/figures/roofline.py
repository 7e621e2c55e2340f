"""Figure: each cell under the machine's two measured roofs, copy bandwidth and matmul rate.

After Williams, Waterman and Patterson, "Roofline" (CACM 2009).
"""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import arm, gate_failed, measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")

EXPERIMENTS = ("steps", "batch")


def draw(tables: Tables) -> Any:
    """Draw one panel per experiment, one mark per cell: counted operations per byte, achieved operations per second."""
    from matplotlib.lines import Line2D

    by_experiment = {name: _rows(need(tables, name)) for name in EXPERIMENTS}
    shown = {name: rows for name, rows in by_experiment.items() if rows}
    canvas, panels = style.panels(len(shown), height=3.2, columns=2)
    arms = {arm(row): style.look(text(row, "decoder")) for rows in shown.values() for row in rows}
    bandwidth, matmul = (_fact(tables, name) for name in ("copy_gb_per_s", "matmul_gflop_per_s"))
    for axes, (name, rows) in zip(panels, shown.items(), strict=False):
        axes.set_title(f"experiment {name}")
        xs = [number(row, "intensity") for row in rows]
        for row in rows:
            gid = value_id(name, row, "achieved_gflop_per_s")
            look = arms[arm(row)]
            style.mark(
                axes,
                measure(row, "intensity"),
                measure(row, "achieved_gflop_per_s"),
                look,
                gid,
                gate_failed(row),
                4.5,
            )
        style.log_axis(axes.xaxis, xs)
        style.log_axis(
            axes.yaxis,
            [*(number(row, "achieved_gflop_per_s") for row in rows), *_roof(axes, xs, bandwidth, matmul)],
        )
        axes.set_xlabel("operations per byte (counted)")
        axes.set_ylabel("10⁹ operations per second")
    entries = [(words, Line2D([], [], linestyle="", marker=look["marker"], color=look["color"]))
               for words, look in arms.items()]  # fmt: skip
    style.key(canvas, entries)
    return canvas


def _rows(rows: Any) -> list[Any]:
    return [
        row for row in rows if ok(row) and measure(row, "intensity") and measure(row, "achieved_gflop_per_s")
    ]


def _fact(tables: Tables, name: str) -> float | None:
    """Return a measured rate of the machine; None if it was not measured."""
    for row in need(tables, "machine"):
        if text(row, "fact") == name and measure(row, "value"):
            return number(row, "value")
    return None


def _roof(axes: Any, xs: list[float], bandwidth: float | None, matmul: float | None) -> list[float]:
    """Draw the roofs over the marks' range; return the heights they reach."""
    low, high = min(xs) / 2, max(xs) * 2
    if bandwidth and matmul:
        # The ridge is always shown, since marks are read as left or right of it.
        low, high = min(low, matmul / bandwidth / 2), max(high, matmul / bandwidth * 2)
    line = {"color": style.INK, "linewidth": 1.1, "zorder": 1}
    heights = []
    if bandwidth:
        end = matmul / bandwidth if matmul else high
        axes.plot([low, end], [low * bandwidth, end * bandwidth], **line)
        # Above the roof, where no mark can be.
        style.label(
            axes, "copy bandwidth", end, end * bandwidth, dx=-16, dy=-10, ha="right", color=style.SOFT
        )
        heights += [low * bandwidth, end * bandwidth]
    if matmul:
        begin = matmul / bandwidth if bandwidth else low
        axes.plot([begin, high], [matmul, matmul], **line)
        style.label(axes, "matmul rate", high, matmul, dx=-4, dy=5, ha="right", color=style.SOFT)
        heights.append(matmul)
    return heights


FIGURE = Figure(
    name="roofline",
    title="Roofline",
    tables=(*EXPERIMENTS, "machine"),
    alt=(
        "One panel per experiment, both axes logarithmic: counted operations per byte on one, achieved operations a "
        "second on the other, one mark a cell. A slanted line is the copy bandwidth measured on this machine, a level "
        "line its matmul rate; a mark's distance below them is what it leaves unused. Hollow marks failed the quality "
        "gate."
    ),
    draw=draw,
)
