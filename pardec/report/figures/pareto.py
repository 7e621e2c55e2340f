"""Figure: latency against quality, by decoder and steps."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import (
    arm,
    gate_failed,
    is_parallel,
    lower_is_better,
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

ROOM, LABEL = 90.0, 10.0
"""Approximate widths in points: of the marks in a panel, and of a label of two digits."""


def draw(tables: Tables) -> Any:
    """Draw one panel per task: diffusion as a curve over steps, autoregression as points, the Pareto front behind."""
    cells = need(tables, "steps")
    shown = style.by_panel(cells)
    canvas, panels = style.panels(len(shown), height=2.75)
    for axes, (name, rows) in zip(panels, shown, strict=False):
        _panel(axes, name, rows)
    style.key(canvas, _explain(cells))
    return canvas


def _explain(rows: list[Any]) -> list[tuple[str, Any]]:
    """Return entries of the key, for signs that a panel has no room to name."""
    from matplotlib.lines import Line2D

    entries = []
    for words, look, parallel in style.arms(rows):
        line: Any = look["line"] if parallel else "none"
        handle = Line2D([], [], color=look["color"], marker=look["marker"], linestyle=line, markersize=5)
        entries.append((words, handle))
    if any(is_parallel(row) and text(row, "steps") for row in rows):
        entries.append(("numbers: steps", Line2D([], [], linestyle="none")))
    if any(gate_failed(r) for r in rows):
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
    entries.append(("Pareto front", Line2D([], [], color=style.FAILED, linewidth=5, alpha=0.28)))
    return entries


def _panel(axes: Any, name: str, rows: list[Any]) -> None:
    axes.set_title(name)
    good = [r for r in rows if ok(r) and measure(r, "latency_ms") and measure(r, "quality")]
    missing = [r for r in rows if not ok(r)]
    if not good:
        style.nothing(axes, "no quality measured" if any(map(ok, rows)) else "no finished cell")
        return
    lower = lower_is_better(good[0])
    latencies = [measure(r, "latency_ms").value for r in good]
    style.log_axis(axes.xaxis, latencies)
    axes.set_xlabel("latency (ms) ← faster")
    axes.margins(x=0.12, y=0.16)
    style.quality_axis(axes, good[0])
    _front(axes, good, lower)
    span = math.log(max(latencies) / min(latencies))
    for variant, (_, index) in variants(good).items():
        _curve(axes, [r for r in good if variant_of(r) == variant], index, span)
    first = next(
        (v for v, (_, index) in variants(good).items() if v[0] == "autoregressive" and not index), None
    )
    for row in (r for r in good if variant_of(r) == first):
        _name(axes, row, [r for r in good if is_parallel(r)], lower)
    if missing:
        words = "not shown: " + ", ".join(
            f"{arm(r)} {text(r, 'steps')} ({text(r, 'status')})" for r in missing[:3]
        )
        words += f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        axes.text(0.0, -0.27, words, transform=axes.transAxes, fontsize=6.8, color=style.SOFT, va="top")


def _curve(axes: Any, rows: list[Any], index: int, span: float) -> None:
    look = style.look(text(rows[0], "decoder"), index)
    if is_parallel(rows[0]):
        rows = sorted(rows, key=lambda r: (number(r, "steps"), measure(r, "latency_ms").value))
        xs = [measure(r, "latency_ms").value for r in rows]
        ys = [measure(r, "quality").value for r in rows]
        axes.plot(xs, ys, color=look["color"], linestyle=look["line"], linewidth=1.3, zorder=3)
    for row, shift in zip(rows, _shifts(rows, span), strict=True):
        x, y = measure(row, "latency_ms"), measure(row, "quality")
        style.mark(axes, x, y, look, value_id("steps", row, "latency_ms"), hollow=gate_failed(row))
        if is_parallel(row):
            style.label(axes, text(row, "steps"), x.value, y.value, shift, 9, color=look["color"], fontsize=7)


def _shifts(rows: list[Any], span: float) -> list[float]:
    """Return sideways shifts of labels, in points, for marks too close to each other.

    span: range of the logarithm of all latencies in the panel.
    """
    places = [math.log(measure(row, "latency_ms").value) * ROOM / (span or 1.0) for row in rows]
    shifts = [0.0] * len(places)
    for place, (one, other) in enumerate(pairwise(places)):
        lacking = LABEL - abs(other - one)
        if lacking > 0:
            aside = lacking / 2 if one <= other else -lacking / 2
            shifts[place] -= aside
            shifts[place + 1] += aside
    return shifts


def _name(axes: Any, row: Any, curve: list[Any], lower: bool) -> None:
    """Label the autoregressive point on the side away from the curve."""
    x, y = measure(row, "latency_ms").value, measure(row, "quality").value
    sign = -1 if lower else 1
    near = [measure(r, "quality").value for r in curve if 0.4 < measure(r, "latency_ms").value / x < 2.5]
    above = bool(near) and all(sign * y > sign * q + 0.02 for q in near)
    color = style.look("autoregressive")["color"]
    style.label(axes, "AR", x, y, 0, 10 if above else -11, color=color, weight="bold")


def front(points: list[tuple[float, float]], lower: bool) -> list[tuple[float, float]]:
    """Return the points (latency, quality) that no other point beats on both, fastest first."""
    best: list[tuple[float, float]] = []
    for x, y in sorted(points, key=lambda p: (p[0], p[1] if lower else -p[1])):
        if not best or (y < best[-1][1] if lower else y > best[-1][1]):
            best.append((x, y))
    return best


def _front(axes: Any, rows: list[Any], lower: bool) -> None:
    points = front([(measure(r, "latency_ms").value, measure(r, "quality").value) for r in rows], lower)
    if len(points) > 1:
        xs, ys = zip(*points, strict=True)
        axes.step(
            xs,
            ys,
            where="post",
            color=style.FAILED,
            linewidth=5,
            alpha=0.28,
            zorder=1,
            solid_joinstyle="miter",
        )


FIGURE = Figure(
    name="pareto",
    title="Latency against quality",
    tables=("steps",),
    alt=(
        "Small multiples, one per task. Horizontal: latency in milliseconds, logarithmic. Vertical: "
        "quality, better upwards. "
        "Masked diffusion is a curve whose points are labelled with their steps, autoregression a square; "
        "a grey band joins the points that no other point beats on both."
    ),
    draw=draw,
)
