"""Figure: shares of a cycle's time."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import ALL, arms_in_order, workloads
from pardec.report.rows import measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")

PARTS = (
    ("draft_share", "draft", "#E69F00", "////"),
    ("verify_share", "verification", "#0072B2", ""),
    ("overhead_share", "the loop itself", "#8a929b", "...."),
)


def draw(tables: Tables) -> Any:
    """Draw one panel per workload, one bar per arm: mean time of a cycle by phase."""
    from matplotlib.patches import Patch

    ideas = need(tables, "ideas")
    rows = [r for r in need(tables, "draft") if measure(r, "cycle_ms") and text(r, "task") != ALL]
    names, arms = workloads(rows), arms_in_order(ideas, rows)
    height = 0.19 * max(len(arms), 4) + 0.7
    canvas, panels = style.panels(len(names), height=height, columns=2)
    for axes, name in zip(panels, names, strict=False):
        axes.set_title(name)
        for y, arm in enumerate(arms):
            row = next((r for r in rows if text(r, "task") == name and text(r, "arm") == arm), None)
            if row is not None:
                _bar(axes, y, row)
        axes.set_yticks(range(len(arms)), arms, fontsize=7)
        axes.set_ylim(len(arms) - 0.4, -0.6)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("time of a cycle (ms)")
    if names:
        patches = [Patch(facecolor=c, hatch=h, edgecolor=style.BACKGROUND) for _, _, c, h in PARTS]
        style.key(canvas, [(part[1], patch) for part, patch in zip(PARTS, patches, strict=True)])
    return canvas


def _bar(axes: Any, y: int, row: Any) -> None:
    left = 0.0
    for column, _, color, hatch in PARTS:
        width = max(number(row, column), 0.0) * number(row, "cycle_ms")
        if width == width:
            axes.barh(
                y, width, 0.72, left, color=color, hatch=hatch, edgecolor=style.BACKGROUND, linewidth=0,
                gid=value_id("draft", row, column),
            )  # fmt: skip
            left += width


FIGURE = Figure(
    name="cycle_profile",
    title="Where a cycle's time goes",
    tables=("draft", "ideas"),
    alt=(
        "One panel per workload and one bar per arm: the median time of a cycle, divided by the shares of draft, "
        "verification and the loop itself."
    ),
    draw=draw,
)
