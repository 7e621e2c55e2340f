"""Figure: ratios of arms measured against themselves."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import Measure, arm, measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one row per cell: its A/A ratio with interval around one; shaded: the largest half-width."""
    from matplotlib.figure import Figure as Canvas

    rows = need(tables, "noise")
    good = [r for r in rows if ok(r) and measure(r, "ratio")]
    canvas = Canvas(figsize=(style.WIDTH, 0.30 * max(len(rows), 2) + 0.85), layout="constrained")
    axes = canvas.subplots()
    if not good:
        style.nothing(axes)
        return canvas
    floor = max(max(abs(m.low - 1), abs(m.high - 1), abs(m.value - 1)) for m in map(_ratio, good))
    axes.axvspan(1 - floor, 1 + floor, color=style.FAILED, alpha=0.15, linewidth=0)
    axes.axvline(1, color=style.INK, linewidth=0.9)
    for y, row in enumerate(rows):
        if ok(row) and measure(row, "ratio"):
            look = style.look(text(row, "decoder"))
            style.mark(axes, _ratio(row), Measure(y), look, value_id("noise", row, "ratio"))
        else:
            axes.text(1, y, text(row, "status"), color=style.SOFT, ha="center", va="center", fontsize=7.5)
    axes.set_yticks(range(len(rows)), [name_of(r) for r in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.grid(False, axis="y")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(max(1 - floor * 1.25, 0), 1 + floor * 1.25)
    axes.set_xlabel("latency ratio of an arm to itself (no unit; one means equal)")
    return canvas


def _ratio(row: Any) -> Any:
    ratio = measure(row, "ratio")
    bounds = [b if b == b else ratio.value for b in (ratio.low, ratio.high)]
    return Measure(ratio.value, *bounds)


def name_of(row: Any) -> str:
    """Return the row's name: task, decoder, steps, batch."""
    steps = text(row, "steps")
    parts = [text(row, "task"), arm(row), f"{steps} steps" if steps else ""]
    if number(row, "batch") > 1:
        parts.append(f"batch {text(row, 'batch')}")
    return ", ".join(part for part in parts if part)


FIGURE = Figure(
    name="noise",
    title="The noise floor",
    tables=("noise",),
    alt=(
        "A dot with an interval for each cell measured against itself, around a line at one. The "
        "shaded width is the noise floor: "
        "a smaller difference is not shown to be one."
    ),
    draw=draw,
)
