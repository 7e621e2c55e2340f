"""Shared by the drafting figures: their arms, the order of arms, and looks of workloads."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.rows import ordered, text

style = lazy("pardec.report.figures.style")

ALL = "all workloads"
LOOKS = (
    {"color": "#0072B2", "marker": "s", "line": "-"},
    {"color": "#D55E00", "marker": "o", "line": "--"},
    {"color": "#009E73", "marker": "D", "line": "-."},
    {"color": "#CC79A7", "marker": "^", "line": ":"},
    {"color": "#E69F00", "marker": "v", "line": "-"},
    {"color": "#56B4E9", "marker": "P", "line": "--"},
)
"""Okabe and Ito's palette, by workload."""


def baseline(draft: Any) -> str:
    """Return the arm that ideas are compared with; empty if the study has none."""
    return next((text(row, "arm") for row in draft if row.get("baseline") is True), "")


def controls(ideas: Any) -> set[str]:
    """Return arms that only test a mechanism: they equal the baseline under another name."""
    return {text(row, "control_arm") for row in ideas} - {""}


def workloads(rows: list[Any]) -> list[str]:
    """Return the workloads of `rows` in order, without the pooled row."""
    return [name for name in ordered(text(row, "task") for row in rows) if name != ALL]


def looks(names: list[str]) -> dict[str, dict[str, str]]:
    """Return the colour, marker and line of each name."""
    return {name: LOOKS[place % len(LOOKS)] for place, name in enumerate(names)}


def arms_in_order(ideas: Any, rows: list[Any]) -> list[str]:
    """Return arms of `rows` without controls: the plain draft, then arms without an idea, then by idea's number."""
    numbers: dict[str, int] = {}
    for number, row in enumerate(ideas):
        numbers.setdefault(text(row, "arm"), number)
    hidden = controls(ideas)
    names = [name for name in ordered(text(row, "arm") for row in rows) if name not in hidden]
    place = {name: (name in numbers, numbers.get(name, 0), k) for k, name in enumerate(names)}
    first = baseline(rows)
    return sorted(names, key=lambda name: (name != first, place[name]))


def key(canvas: Any, signs: dict[str, dict]) -> None:
    """Draw the legend of a canvas: the look of each name."""
    from matplotlib.lines import Line2D

    style.key(
        canvas,
        [
            (
                name,
                Line2D(
                    [], [], color=sign["color"], linestyle=sign["line"], marker=sign["marker"], markersize=4.5
                ),
            )
            for name, sign in signs.items()
        ],
    )
