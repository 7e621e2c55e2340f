"""Tau is not speed: what each arm's tau bought."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import ALL, BASELINE, controls, looks, rows_of, workloads
from pardec.report.frames import Measure, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """One panel a workload: tau against throughput over sequential decoding, a mark an arm."""
    draft, hidden = need(tables, "draft"), controls(need(tables, "ideas"))
    rows = [
        r for r in rows_of(draft)
        if text(r, "task") != ALL and measure(r, "tau") and measure(r, "ratio_ar") and text(r, "arm") not in hidden
    ]  # fmt: skip
    names = workloads(rows)
    canvas, panels = style.panels(len(names), height=2.8, columns=2)
    signs = looks(names)
    for axes, name in zip(panels, names, strict=False):
        own = [r for r in rows if text(r, "task") == name]
        axes.set_title(name)
        axes.axhline(1, color=style.INK, linewidth=0.9)
        base = next((r for r in own if text(r, "arm") == BASELINE), None)
        if base is not None and number(base, "tau") > 0:
            top = max(number(r, "tau") for r in own)
            slope = number(base, "ratio_ar") / number(base, "tau")
            axes.plot([0, top], [0, top * slope], color=style.SOFT, linestyle=":", linewidth=1)
        for row in own:
            y = measure(row, "ratio_ar")
            bad = 0 <= number(row, "lossless") < 1
            gid = value_id("draft", row, "ratio_ar")
            style.mark(axes, Measure(number(row, "tau")), y, signs[name], gid, hollow=bad, size=4.5)
        _names(axes, own)
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.set_xlabel("tau (tokens a verification)")
        axes.set_ylabel("over sequential (×)")
    return canvas


def _names(axes: Any, rows: list[Any]) -> None:
    """The plain draft and the fastest arm say who they are."""
    said = {text(r, "arm"): r for r in rows if text(r, "arm") == BASELINE}
    best = max(rows, key=lambda r: number(r, "ratio_ar"))
    said.setdefault(text(best, "arm"), best)
    for (name, row), rise in zip(said.items(), (-11, 11), strict=False):
        style.label(axes, name, number(row, "tau"), number(row, "ratio_ar"), dx=-6, dy=rise, ha="right")


FIGURE = Figure(
    name="tau_vs_speed",
    title="Tau against speed",
    tables=("draft", "ideas"),
    alt=(
        "One panel a workload: tau on one axis, throughput over sequential decoding on the other, one mark an arm. The "
        "dotted line goes through the plain draft: along it a token more in tau is worth as much as the ones before. "
        "Hollow marks are not lossless."
    ),
    draw=draw,
)
