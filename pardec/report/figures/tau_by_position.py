"""Figure: distribution of tau, and acceptance by position in the block."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import baseline, key, looks, workloads
from pardec.report.rows import Measure, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw left: share of cycles by tau; right: acceptance of a position, given that all before it were accepted."""
    plain = baseline(need(tables, "draft"))
    rows = [r for r in need(tables, "cycles") if text(r, "arm") == plain and measure(r, "share")]
    names = workloads(rows)
    canvas, panels = style.panels(2 if names else 0, height=2.8, columns=2)
    if not names:
        return canvas
    signs = looks(names)
    width = 0.84 / len(names)
    for place, name in enumerate(names):
        of_task = sorted((r for r in rows if text(r, "task") == name), key=lambda r: number(r, "position"))
        for row in of_task:
            x = number(row, "position") + (place - (len(names) - 1) / 2) * width
            share = number(row, "share")
            color = signs[name]["color"]
            panels[0].bar(x, share, width, color=color, gid=value_id("cycles", row, "share"), zorder=3)
            _acceptance(panels[1], row, signs[name])
        known = [r for r in of_task if measure(r, "acceptance")]
        points = [(number(r, "position"), number(r, "acceptance")) for r in known]
        if points:
            color, line = signs[name]["color"], signs[name]["line"]
            panels[1].plot(*zip(*points, strict=True), color=color, linestyle=line, linewidth=1)
    positions = sorted({number(r, "position") for r in rows})
    for axes in panels:
        axes.set_xticks(positions, [f"{int(p)}" for p in positions])
        axes.set_ylim(0, None)
    panels[0].set_xlabel("tau: tokens committed per cycle")
    panels[0].set_ylabel("share of cycles")
    panels[1].set_xlabel("position in the block")
    panels[1].set_ylabel("acceptance, given all before")
    panels[1].set_ylim(0, 1.04)
    key(canvas, signs)
    return canvas


def _acceptance(axes: Any, row: Any, sign: dict) -> None:
    acceptance = measure(row, "acceptance")
    if acceptance:
        gid = value_id("cycles", row, "acceptance")
        style.mark(axes, Measure(number(row, "position")), acceptance, sign, gid, size=4)


FIGURE = Figure(
    name="tau_by_position",
    title="Where drafts fail",
    tables=("cycles", "draft"),
    alt=(
        "Left: bars of the share of cycles by the number of tokens they committed, one colour a workload. Right: the "
        "share of drafted tokens accepted at each position in the block, given that all before them were, with "
        "intervals."
    ),
    draw=draw,
)
