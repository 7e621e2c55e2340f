"""Figure: growth of time, memory and throughput with length and batch."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.memory_heatmap import length_column
from pardec.report.figures.throughput_by_batch import arm_of, looks
from pardec.report.rows import Measure, gate_failed, measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw three log-log panels; straight lines are power laws."""
    length, batch, memory = (need(tables, name) for name in ("length", "batch", "memory"))
    arms = looks([r for frame in (length, batch, memory) for r in frame])
    canvas, panels = style.panels(3, height=2.7)
    column = length_column(length)
    words = "prompt tokens" if column == "prompt_tokens" else "new tokens"
    _panel(panels[0], "time", "length", length, column, "latency_ms", words, "latency (ms)", arms)
    column = length_column(memory)
    words = "prompt tokens" if column == "prompt_tokens" else "new tokens"
    _panel(
        panels[1], "memory", "memory", memory, column, "peak_allocated_mb", words, "peak allocated (MB)", arms
    )
    _panel(panels[2], "throughput", "batch", batch, "batch", "tokens_per_s", "batch", "useful tokens/s", arms)
    _key(canvas, arms)
    return canvas


def _panel(
    axes: Any, title: str, table: str, frame: Any, x: str, y: str, xlabel: str, ylabel: str, arms: dict
) -> None:
    rows = [r for r in frame if ok(r) and measure(r, y)]
    if not rows:
        style.nothing(axes)
        return
    rows = _one_slice(rows, x)
    axes.set_title(f"{title} ({text(rows[0], 'task')})")
    style.log_axis(axes.xaxis, sorted({number(r, x) for r in rows}), base=2)
    style.log_axis(axes.yaxis, [measure(r, y).value for r in rows])
    for words in dict.fromkeys(arm_of(r) for r in rows):
        line = sorted((r for r in rows if arm_of(r) == words), key=lambda r: number(r, x))
        look = arms[words]
        points = [(number(r, x), measure(r, y).value) for r in line]
        axes.plot(*zip(*points, strict=True), color=look["color"], linestyle=look["line"], linewidth=1.2)
        for row, (px, _) in zip(line, points, strict=True):
            gid = value_id(table, row, y)
            style.mark(axes, Measure(px), measure(row, y), look, gid, gate_failed(row), size=4.5)
    axes.set_xlabel(xlabel)
    axes.set_ylabel(ylabel)


def _one_slice(rows: list[Any], x: str) -> list[Any]:
    """Return rows of one task, and over length of the smallest batch, so that a line varies one quantity."""
    rows = [r for r in rows if text(r, "task") == text(rows[0], "task")]
    if x == "batch":
        return rows
    smallest = min(number(r, "batch") for r in rows)
    return [r for r in rows if number(r, "batch") == smallest]


def _key(canvas: Any, arms: dict[str, dict]) -> None:
    from matplotlib.lines import Line2D

    style.key(
        canvas,
        [
            (
                words,
                Line2D(
                    [], [], color=look["color"], linestyle=look["line"], marker=look["marker"], markersize=4.5
                ),
            )
            for words, look in arms.items()
        ],
    )


FIGURE = Figure(
    name="scaling",
    title="Growth with length and batch",
    tables=("length", "memory", "batch"),
    alt=(
        "Three panels with logarithmic axes: latency against length, peak memory against length, "
        "useful tokens per second against "
        "batch; one line a decoder. A straight line is a power law and its steepness the exponent."
    ),
    draw=draw,
)
