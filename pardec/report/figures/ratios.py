"""Figures: paired speed ratios as dots with intervals, of the fastest arms per question and of arms without a sweep."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import Measure, Row, arm, is_parallel, measure, need, number, ok, text, value_id
from pardec.report.rows import task as task_words

style = lazy("pardec.report.figures.style")

MOST = 12
"""Most rows in one panel; the others are in the table."""
SWEPT = ("steps", "batch", "length", "memory", "grid", "flood", "draft", "block", "noise")
"""Kinds of experiments with separate figures."""


def answered(rows: list[Row]) -> dict[str, list[Row]]:
    """Return rows with a result by experiment, from the slowest to the fastest."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        if measure(row, "ratio"):
            groups.setdefault(text(row, "experiment"), []).append(row)
    return {name: sorted(group, key=lambda row: number(row, "ratio")) for name, group in groups.items()}


def draw_answers(tables: Tables) -> Any:
    """Draw one panel per question, one row per comparison: the fastest arm at equal quality over its reference."""
    return _dots("answers", answered(need(tables, "answers")), lambda row: not row["lossless"])


def draw_ratios(tables: Tables) -> Any:
    """Draw one panel per experiment without a sweep, one row per arm."""
    return _dots("cells", answered(compared(need(tables, "cells"))), lambda row: row["gate"] is not True)


def compared(cells: list[Row]) -> list[Row]:
    """Return cells of experiments in which only arms vary.

    Their kind has no separate figure, or is a sweep over steps with a single number of steps.
    """
    steps: dict[str, set[Any]] = {}
    for row in cells:
        if is_parallel(row):
            steps.setdefault(text(row, "experiment"), set()).add(row.get("steps"))
    alone = {name for name, values in steps.items() if len(values - {None}) < 2}
    return [
        row for row in cells
        if ok(row) and (kind(row) not in SWEPT or (kind(row) == "steps" and text(row, "experiment") in alone))
    ]  # fmt: skip


def kind(row: Row) -> str:
    """Return the kind of the row's experiment."""
    return text(row, "experiment_kind")


def _dots(table: str, groups: dict[str, list[Row]], hollow: Callable[[Row], bool]) -> Any:
    from matplotlib.figure import Figure as Canvas

    shown = {name: rows[-MOST:] for name, rows in groups.items()}
    count = sum(len(rows) for rows in shown.values())
    canvas = Canvas(
        figsize=(style.WIDTH, 0.19 * count + 0.42 * max(len(shown), 1) + 0.4), layout="constrained"
    )
    heights = [len(rows) + 1 for rows in shown.values()] or [1]
    panels = canvas.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights).flat
    if not shown:
        style.nothing(panels[0], "no arm was compared")
        return canvas
    for axes, (name, rows) in zip(panels, shown.items(), strict=True):
        hidden = len(groups[name]) - len(rows)
        axes.set_title(f"{name} (the {MOST} fastest; {hidden} more in the table)" if hidden else name)
        axes.axvline(1, color=style.INK, linewidth=0.9, zorder=1)
        for y, row in enumerate(rows):
            look = style.look(text(row, "decoder"))
            ratio = measure(row, "ratio")
            style.mark(axes, ratio, Measure(y), look, value_id(table, row, "ratio"), hollow(row), size=5)
        axes.set_yticks(range(len(rows)), [_name(row, rows) for row in rows], fontsize=7.5)
        axes.set_ylim(-0.7, len(rows) - 0.3)
        axes.grid(False, axis="y")
        axes.tick_params(axis="y", length=0)
    ends = [end for rows in shown.values() for row in rows for end in _reach(measure(row, "ratio"))]
    style.log_axis(axes.xaxis, [*ends, 1.0])
    axes.set_xlim(min(*ends, 0.9) * 0.94, max(*ends, 1.1) * 1.06)
    axes.set_xlabel("speed over the reference (×) → faster")
    return canvas


def _reach(ratio: Measure) -> tuple[float, float]:
    return ratio.value - ratio.spread[0], ratio.value + ratio.spread[1]


def _name(row: Row, beside: list[Row]) -> str:
    """Return a name that distinguishes the row in its panel: workload, arm, settings, shape."""
    words = [task_words(row), arm(row)]
    if sum(arm(other) == arm(row) and other["task"] == row["task"] for other in beside) > 1:
        words += [text(row, "words") or ("random prompts" if row.get("random_prompts") else "")]
    for column, prefix in (
        ("steps", "steps"),
        ("batch", "batch"),
        ("prompt_tokens", "prompt"),
        ("new_tokens", "new"),
    ):
        if len({other.get(column) for other in beside}) > 1 and text(row, column):
            words.append(f"{prefix} {text(row, column)}")
    return ", ".join(dict.fromkeys(filter(None, words)))


ANSWERS = Figure(
    name="answers",
    title="The fastest arm at equal quality",
    tables=("answers",),
    alt=(
        "One panel per question and one dot per comparison: the speed of the fastest arm at equal quality over its "
        "reference, with intervals, on a logarithmic axis around a line at one. Filled dots wrote identical tokens."
    ),
    draw=draw_answers,
)
RATIOS = Figure(
    name="ratios",
    title="Every arm over its reference",
    tables=("cells",),
    alt=(
        "One panel per experiment and one dot per arm: its speed over the reference in pairs of one process, with "
        "intervals, on a logarithmic axis around a line at one. Hollow dots: equal quality is not shown."
    ),
    draw=draw_ratios,
)
