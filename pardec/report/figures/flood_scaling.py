"""Figure: latency of a flood over the roots of its plan, by order and candidates."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import Measure, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")

KINDS = {
    "parallel": {"color": "#D55E00", "line": "-"},
    "by_root": {"color": "#0072B2", "line": "-"},
    "by_candidate": {"color": "#CC79A7", "line": "-."},
    "lookup": {"color": "#5b636d", "line": ":"},
    "end to end": {"color": "#009E73", "line": "--"},
}
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def draw(tables: Tables) -> Any:
    """Draw one line per series of at least two sizes; on logarithmic axes, proportional growth is a diagonal."""
    shown = series(need(tables, "flood"))
    rows = [row for line in shown.values() for row in line]
    canvas, (axes, *_) = style.panels(1 if rows else 0, height=3.2)
    if not rows:
        return canvas
    style.log_axis(axes.xaxis, [number(row, "roots") for row in rows], base=2)
    style.log_axis(axes.yaxis, [number(row, "latency_ms") for row in rows])
    entries: list[tuple[str, Any]] = []
    for name, line in shown.items():
        look = {**_kind(name), "marker": MARKERS[len(entries) % len(MARKERS)]}
        entries.append((name.replace("_", " "), _line(axes, line, look)))
    axes.set_xlabel("roots of the plan")
    axes.set_ylabel("latency (ms)")
    style.key(canvas, entries)
    return canvas


def series(rows: list[Any]) -> dict[str, list[Any]]:
    """Return cells of each series by size, series in the order of `KINDS`; a size timed twice counts once."""
    lines: dict[str, dict[float, Any]] = {}
    for row in rows:
        if text(row, "series") and number(row, "latency_ms") > 0:
            lines.setdefault(text(row, "series"), {}).setdefault(number(row, "roots"), row)
    several = {name: [sizes[x] for x in sorted(sizes)] for name, sizes in lines.items() if len(sizes) > 1}
    order = list(KINDS)
    places = sorted(several, key=lambda name: (order.index(_first(name)), len(name), name))
    return {name: several[name] for name in places}


def _first(name: str) -> str:
    return next((kind for kind in KINDS if name.startswith(kind)), "parallel")


def _kind(name: str) -> dict[str, str]:
    return KINDS[_first(name)]


def _line(axes: Any, rows: list[Any], look: dict[str, Any]) -> Any:
    from matplotlib.lines import Line2D

    x, y = ([number(row, column) for row in rows] for column in ("roots", "latency_ms"))
    axes.plot(x, y, color=look["color"], linestyle=look["line"], linewidth=1.2)
    for row in rows:
        at = Measure(number(row, "roots"))
        style.mark(axes, at, measure(row, "latency_ms"), look, value_id("flood", row, "latency_ms"), size=4.5)
    return Line2D([], [], color=look["color"], linestyle=look["line"], marker=look["marker"], markersize=4.5)


FIGURE = Figure(
    name="flood_scaling",
    title="Time of a flood against the size of its plan",
    tables=("flood",),
    alt=(
        "Latency against the roots of the plan, both logarithmic; one line an order and number of candidates, with "
        "the table lookup, and end to end where the manager plans. A level line is constant time, a diagonal is time "
        "in step with the roots."
    ),
    draw=draw,
)
