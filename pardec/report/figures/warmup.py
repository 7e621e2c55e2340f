"""Figure: latency by pass from a cold start."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import decoder_words, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")

LEAST = 3
"""Fewest passes of a cell to be drawn: one or two show no trend."""


def draw(tables: Tables) -> Any:
    """Draw one line per cell with at least `LEAST` passes: each pass relative to the median of its timed samples."""
    import statistics

    rows = need(tables, "warmup")
    canvas, (axes,) = style.panels(1, height=2.6)
    lines: dict[str, list[Any]] = {}
    for row in rows:
        if measure(row, "relative"):
            lines.setdefault(text(row, "cell"), []).append(row)
    lines = {cell: line for cell, line in lines.items() if len(line) >= LEAST}
    if not lines:
        style.nothing(axes)
        return canvas
    passes: dict[tuple[str, float], list[float]] = {}
    for line in lines.values():
        line.sort(key=lambda r: number(r, "pass"))
        color = style.look(text(line[0], "decoder"))["color"]
        points = [(number(r, "pass"), number(r, "relative")) for r in line]
        axes.plot(*zip(*points, strict=True), color=color, linewidth=0.6, alpha=0.3, zorder=2)
        for row, (x, y) in zip(line, points, strict=True):
            axes.plot(
                [x],
                [y],
                marker=".",
                markersize=3,
                color=color,
                alpha=0.45,
                gid=value_id("warmup", row, "relative"),
            )
            passes.setdefault((text(row, "decoder"), x), []).append(y)
    entries = []
    for decoder in sorted({name for name, _ in passes}):
        look = style.look(decoder)
        points = sorted((x, statistics.median(ys)) for (name, x), ys in passes.items() if name == decoder)
        (line,) = axes.plot(
            *zip(*points, strict=True),
            color=look["color"],
            marker=look["marker"],
            linewidth=1.8,
            markersize=5,
            zorder=5,
        )
        entries.append((decoder_words({"decoder": decoder}), line))
    style.key(canvas, entries)
    axes.axhline(1, color=style.INK, linewidth=0.9, zorder=1)
    style.log_axis(axes.yaxis, [y for ys in passes.values() for y in ys])
    axes.set_xticks(sorted({x for _, x in passes}))
    axes.set_xlabel("pass")
    axes.set_ylabel("latency / median of samples")
    return canvas


FIGURE = Figure(
    name="warmup",
    title="Latency by pass",
    tables=("warmup",),
    alt=(
        "Horizontal: passes from the first. Vertical: latency of the pass over the median of the "
        "timed samples, logarithmic. "
        "Thin lines are cells, thick lines each decoder's median."
    ),
    draw=draw,
)
