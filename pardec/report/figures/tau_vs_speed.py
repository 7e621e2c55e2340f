"""Figure: tau against speed of each arm."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.ideas import BEST_FIXED
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import ALL, baseline, controls, looks, workloads
from pardec.report.rows import Measure, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per workload, one mark per arm: tau against throughput relative to the plain draft."""
    draft, ideas = need(tables, "draft"), need(tables, "ideas")
    plain = baseline(draft)
    hidden = controls(ideas) | _held_elsewhere(ideas, plain)
    rows = [
        r for r in draft
        if text(r, "task") != ALL and measure(r, "tau") and measure(r, "ratio") and text(r, "arm") not in hidden
    ]  # fmt: skip
    names = workloads(rows)
    canvas, panels = style.panels(len(names), height=2.8, columns=2)
    signs = looks(names)
    for axes, name in zip(panels, names, strict=False):
        of_task = [r for r in rows if text(r, "task") == name]
        axes.set_title(name)
        axes.axhline(1, color=style.INK, linewidth=0.9)
        base = next((r for r in of_task if text(r, "arm") == plain), None)
        if base is not None and number(base, "tau") > 0:
            top = max(number(r, "tau") for r in of_task)
            worth = [0, top / number(base, "tau")]
            axes.plot([0, top], worth, color=style.SOFT, linestyle=":", linewidth=1)
        for row in of_task:
            bad = 0 <= number(row, "lossless") < 1
            gid = value_id("draft", row, "ratio")
            tau = Measure(number(row, "tau"))
            style.mark(axes, tau, measure(row, "ratio"), signs[name], gid, hollow=bad, size=4.5)
        _names(axes, of_task, plain)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("tau (tokens per verification)")
        axes.set_ylabel("over the plain draft (×)")
    return canvas


def _held_elsewhere(ideas: Any, plain: str) -> set[str]:
    """Return arms whose reference is another draft than the plain one, such as arms that sample."""
    return {text(r, "arm") for r in ideas if text(r, "against") not in (plain, BEST_FIXED)}


def _names(axes: Any, rows: list[Any], plain: str) -> None:
    """Label the fastest arm, the slowest, and one of larger tau than all others; the plain draft gets a ring."""
    speed, tau = (lambda r: number(r, "ratio")), (lambda r: number(r, "tau"))
    for row in rows:
        if text(row, "arm") == plain:
            ring = {"marker": "o", "markersize": 10, "markerfacecolor": "none", "markeredgecolor": style.INK}
            axes.plot([tau(row)], [speed(row)], linestyle="none", **ring)
    named = {text(row, "arm"): (row, 6, -13, "right") for row in rows if _alone_in_front(row, rows)}
    slowest, fastest = min(rows, key=speed), max(rows, key=speed)
    named |= {
        text(slowest, "arm"): (slowest, 8, -4, "left"),
        text(fastest, "arm"): (fastest, -6, 11, "right"),
    }
    for name, (row, dx, dy, side) in named.items():
        style.label(axes, name, tau(row), speed(row), dx=dx, dy=dy, ha=side)


def _alone_in_front(row: Any, rows: list[Any]) -> bool:
    others = (number(other, "tau") for other in rows if other is not row)
    return number(row, "tau") > max(others, default=0.0)


FIGURE = Figure(
    name="tau_vs_speed",
    title="Tau against speed",
    tables=("draft", "ideas"),
    alt=(
        "One panel per workload: tau on one axis, throughput over the plain draft's on the other, one mark "
        "per arm. The dotted line goes through the plain draft: along it a token more in tau is worth as "
        "much as the ones before. The plain draft has a ring. Hollow marks are not lossless."
    ),
    draw=draw,
)
