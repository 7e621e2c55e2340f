"""Figure: speedup of each drafting arm over sequential decoding and over the plain draft."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import ALL, arms_in_order, looks, workloads
from pardec.report.rows import Measure, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")

SIDES = (("ratio_ar", "throughput over sequential decoding"), ("ratio", "throughput over the plain draft"))


def draw(tables: Tables) -> Any:
    """Draw one panel per reference, one row per arm: a square with interval over all workloads, single ones behind."""
    from matplotlib.figure import Figure as Canvas

    draft, ideas = need(tables, "draft"), need(tables, "ideas")
    drawn = [(words, column, [r for r in draft if measure(r, column)]) for column, words in SIDES]
    sides = [(words, column, rows, arms_in_order(ideas, rows)) for words, column, rows in drawn if rows]
    heights = [len(names) + 1.2 for *_, names in sides]
    canvas = Canvas(figsize=(style.WIDTH, 0.27 * max(sum(heights), 3) + 0.9), layout="constrained")
    if not sides:
        style.nothing(canvas.subplots())
        return canvas
    panels = canvas.subplots(len(sides), 1, height_ratios=heights, squeeze=False)[:, 0]
    signs = looks(workloads([row for _, _, rows, _ in sides for row in rows]))
    margin = max((number(r, "margin") for r in ideas if number(r, "margin") > 0), default=0.0)
    for axes, (words, column, rows, names) in zip(panels, sides, strict=True):
        axes.axvline(1, color=style.INK, linewidth=0.9)
        if column == "ratio":
            axes.axvspan(1 - margin, 1 + margin, color=style.FAILED, alpha=0.15, linewidth=0)
        for y, name in enumerate(names):
            _row(axes, y, [r for r in rows if text(r, "arm") == name], column, signs)
        axes.set_xlabel(f"{words} (×)")
        axes.grid(False, axis="y")
        axes.set_yticks(range(len(names)), names)
        axes.set_ylim(len(names) - 0.4, -0.6)
        axes.tick_params(axis="y", length=0)
    _key(canvas, signs)
    return canvas


def _row(axes: Any, y: float, rows: list[Any], column: str, signs: dict[str, dict]) -> None:
    for row in rows:
        ratio, task = measure(row, column), text(row, "task")
        if not ratio:
            continue
        gid = value_id("draft", row, column)
        if task == ALL:
            whole = {"color": style.INK, "marker": "s"}
            style.mark(axes, ratio, Measure(y), whole, gid, size=5.5)
        else:
            style.mark(axes, Measure(ratio.value), Measure(y), signs[task], gid, hollow=True, size=4)


def _key(canvas: Any, signs: dict[str, dict]) -> None:
    from matplotlib.lines import Line2D

    def handle(sign: dict, hollow: bool) -> Any:
        face = style.BACKGROUND if hollow else sign["color"]
        return Line2D(
            [], [], linestyle="none", marker=sign["marker"], markersize=4.5, markerfacecolor=face,
            markeredgecolor=sign["color"],
        )  # fmt: skip

    entries = [("all workloads", handle({"color": style.INK, "marker": "s"}, False))]
    style.key(canvas, [*entries, *((name, handle(sign, True)) for name, sign in signs.items())])


FIGURE = Figure(
    name="draft_speedup",
    title="Speed of every drafting arm",
    tables=("draft", "ideas"),
    alt=(
        "Two panels with one row per arm: throughput over sequential decoding above, over the plain draft below. A "
        "filled square with an interval is the mean over all workloads, hollow marks are single workloads; "
        "the line at one means equal, the shaded band what counts as no difference."
    ),
    draw=draw,
)
