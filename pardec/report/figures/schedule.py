"""Figure: block sizes that schedulers chose, by cycle."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import key, looks, workloads
from pardec.report.rows import measure, need, number, ordered, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per arm with a changing block: the mean block by cycle, one line per workload."""
    trace = need(tables, "cycle_trace")
    rows = [r for r in trace if number(r, "asked") > 0]
    arms = [name for name in ordered(text(r, "arm") for r in rows) if _changes(rows, name)]
    means = {(text(r, "arm"), text(r, "task")): r for r in need(tables, "draft")}
    canvas, panels = style.panels(len(arms), height=2.5, columns=2)
    names = workloads(rows)
    signs = looks(names)
    for axes, arm in zip(panels, arms, strict=False):
        axes.set_title(arm)
        for name in names:
            of_arm = [r for r in rows if text(r, "arm") == arm and text(r, "task") == name]
            if of_arm:
                _line(axes, of_arm, signs[name])
                _mean(axes, means.get((arm, name)), signs[name])
        axes.set_xlabel("cycle")
        axes.set_ylabel("requested block (tokens)")
        axes.set_ylim(0, None)
    if arms:
        key(canvas, signs)
    return canvas


def _changes(rows: list[Any], arm: str) -> bool:
    """Return whether an arm's block differs between cycles."""
    return len({number(r, "asked") for r in rows if text(r, "arm") == arm}) > 1


def _line(axes: Any, rows: list[Any], sign: dict) -> None:
    by_cycle: dict[float, list[float]] = {}
    for row in rows:
        by_cycle.setdefault(number(row, "cycle"), []).append(number(row, "asked"))
    points = [(place, sum(values) / len(values)) for place, values in sorted(by_cycle.items())]
    axes.plot(*zip(*points, strict=True), color=sign["color"], linestyle=sign["line"], linewidth=1.2)


def _mean(axes: Any, row: Any, sign: dict) -> None:
    """Mark the mean block over all cycles at the left edge."""
    if row is not None and measure(row, "block"):
        gid = value_id("draft", row, "block")
        axes.plot(
            [-0.5], [number(row, "block")], marker=sign["marker"], markersize=4.5, color=sign["color"],
            linestyle="none", gid=gid, clip_on=False, zorder=4,
        )  # fmt: skip


FIGURE = Figure(
    name="schedule",
    title="Blocks that schedulers chose",
    tables=("cycle_trace", "draft"),
    alt=(
        "One panel per arm whose block changes: the block of each cycle, averaged over texts, one line per workload. "
        "The mark at the left edge is the mean over all cycles."
    ),
    draw=draw,
)
