"""Figure: time over the number of steps, with the autoregressive time."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import (
    Measure,
    gate_failed,
    is_parallel,
    measure,
    need,
    number,
    ok,
    text,
    value_id,
    variant_of,
    variants,
)  # fmt: skip

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Return the figure: latency by steps."""
    return over_steps(need(tables, "steps"), "latency_ms", _latency_axis)


def _latency_axis(axes: Any, rows: list[Any]) -> None:
    style.log_axis(axes.yaxis, [measure(r, "latency_ms").value for r in rows])
    axes.set_ylabel("latency (ms)")


def over_steps(cells: Any, column: str, set_axis: Any) -> Any:
    """Draw one panel per task: `column` of each diffusion variant over its steps, sequential arms as levels."""
    shown = style.by_panel(cells)
    canvas, panels = style.panels(len(shown), height=2.5)
    for axes, (name, rows) in zip(panels, shown, strict=False):
        # Quality is scored separately from timing: a cell too slow to time may still have a quality.
        good = [r for r in rows if measure(r, column) and (ok(r) or column == "quality")]
        axes.set_title(name)
        curves = [r for r in good if is_parallel(r) and number(r, "steps") > 0]
        if not curves:
            timed = column == "quality" and any(map(ok, rows))
            style.nothing(axes, "no quality measured" if timed else "no finished cell")
            continue
        steps = sorted({number(r, "steps") for r in rows if number(r, "steps") > 0})
        style.log_axis(axes.xaxis, steps, base=2)
        set_axis(axes, good)
        axes.set_xlabel("steps")
        axes.margins(y=0.14)
        axes.set_xlim(steps[0] * 0.8, steps[-1] * 1.25)
        _levels(axes, [r for r in good if not is_parallel(r)], column, steps)
        for variant, (words, index) in variants(curves).items():
            _line(axes, [r for r in curves if variant_of(r) == variant], column, index, words)
        _failed(
            axes, [r for r in rows if number(r, "steps") > 0 and not ok(r) and not any(r is g for g in good)]
        )
    style.key(canvas, _explain(cells, column))
    return canvas


def _explain(rows: list[Any], column: str) -> list[tuple[str, Any]]:
    from matplotlib.lines import Line2D

    entries = []
    for words, look, parallel in style.arms(rows):
        if column == "quality" and not parallel and words != "autoregressive":
            continue
        line = (0, (5, 2)) if words == "autoregressive" else look["line"]
        marker = look["marker"] if parallel else None
        handle = Line2D([], [], color=look["color"], marker=marker, linestyle=line, markersize=5)
        entries.append((words, handle))
    if column != "quality" and any(gate_failed(r) for r in rows):
        hollow = Line2D(
            [],
            [],
            color=style.INK,
            marker="o",
            linestyle="none",
            markerfacecolor=style.BACKGROUND,
            markersize=5,
        )
        entries.append(("equal quality is not shown", hollow))
    return entries


def _levels(axes: Any, rows: list[Any], column: str, steps: list[float]) -> None:
    """Draw the autoregressive arm as a named band; for time, further sequential arms as plain levels."""
    for variant, (_, index) in variants(rows).items():
        look = style.look(variant[0], index)
        for row in (r for r in rows if variant_of(r) == variant):
            gid, level = value_id("steps", row, column), measure(row, column)
            if variant[0] == "autoregressive" and not index:
                style.band(axes, level, look, gid)
                left = column != "quality"
                place, side = (steps[0] * 0.86, "left") if left else (steps[-1] * 1.18, "right")
                style.label(axes, "AR", place, level.value, 0, 6, ha=side, color=look["color"], weight="bold")
            elif column != "quality":
                axes.axhline(
                    level.value, color=look["color"], linestyle=look["line"], linewidth=1.1, zorder=2, gid=gid
                )


def _line(axes: Any, rows: list[Any], column: str, index: int, words: str) -> None:
    look = style.look(text(rows[0], "decoder"), index)
    rows = sorted(rows, key=lambda r: number(r, "steps"))
    xs = [number(r, "steps") for r in rows]
    axes.plot(
        xs,
        [measure(r, column).value for r in rows],
        color=look["color"],
        linestyle=look["line"],
        linewidth=1.3,
    )
    for x, row in zip(xs, rows, strict=True):
        hollow = gate_failed(row) and column != "quality"
        style.mark(axes, Measure(x), measure(row, column), look, value_id("steps", row, column), hollow)
    if index:
        style.label(
            axes,
            words.split(", ")[-1],
            xs[-1],
            measure(rows[-1], column).value,
            -2,
            9,
            ha="right",
            color=look["color"],
        )


def _failed(axes: Any, rows: list[Any]) -> None:
    """Draw cells that did not finish as a cross at the top of their column, with the status."""
    for row in rows:
        x = number(row, "steps")
        place = axes.get_xaxis_transform()
        axes.plot(
            [x], [0.95], marker="x", color=style.FAILED, markersize=6, markeredgewidth=1.6, transform=place
        )
        axes.text(
            x,
            0.89,
            text(row, "status"),
            transform=place,
            ha="center",
            va="top",
            fontsize=6.8,
            color=style.SOFT,
        )


FIGURE = Figure(
    name="latency_vs_steps",
    title="Latency against steps",
    tables=("steps",),
    alt=(
        "Small multiples, one per task. Horizontal: steps, doubling. Vertical: latency in "
        "milliseconds, logarithmic. "
        "Masked diffusion is a curve that rises with its steps; the autoregressive latency is a "
        "dashed level with its interval as a band."
    ),
    draw=draw,
)
