"""Figure: latency of the same work, and samples per cell, over the run's wall-clock time."""

from __future__ import annotations

import math
from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import Measure, arm, measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")

REASONS = {
    "precise": ("precise enough", "o", "#0072B2"),
    "budget": ("budget spent", "^", "#D55E00"),
    "maximum": ("most samples allowed", "D", "#CC79A7"),
}
OTHER = ("*", "#8a929b")
LINE = 14
ABREAST = 4
"""Points a line of signs takes between a panel and its title, and the signs on one."""


def draw(tables: Tables) -> Any:
    """Draw above: each series of work timed in several processes, over their median; below: samples by cell."""
    rows = [r for r in need(tables, "stability") if ok(r) and number(r, "started_s") >= 0]
    canvas, (upper, lower) = style.panels(2, height=2.15, columns=1)
    again = [r for r in rows if measure(r, "relative")]
    cells = [r for r in rows if text(r, "side") == "cell" and number(r, "n_all") > 0]
    if not cells:
        style.nothing(upper)
        style.nothing(lower)
        return canvas
    _explain(upper, _same_work(upper, again))
    _explain(lower, _repetitions(lower, cells))
    last = max(minutes(r) for r in rows)
    for axes in (upper, lower):
        axes.set_xlim(-0.02 * last - 1e-3, 1.02 * last + 1e-3)
    lower.set_xlabel("time since the first cell (minutes)")
    return canvas


def _explain(axes: Any, entries: list[tuple[str, Any]]) -> None:
    """Draw the key of one panel under its title, since the panels use colours differently."""
    axes.set_title(axes.get_title(loc="left"), pad=6 + LINE * math.ceil(len(entries) / ABREAST))
    if entries:
        axes.legend(
            [sign for _, sign in entries],
            [words for words, _ in entries],
            loc="lower left",
            bbox_to_anchor=(-0.01, 1.0),
            ncols=min(ABREAST, len(entries)),
            frameon=False,
            fontsize=7.6,
            handletextpad=0.3,
            columnspacing=1.2,
            borderaxespad=0.1,
        )


def minutes(row: Any) -> float:
    """Return when the row's cell started, in minutes since the first."""
    return number(row, "started_s") / 60


def _same_work(axes: Any, rows: list[Any]) -> list[tuple[str, Any]]:
    axes.set_title("the same work again")
    if not rows:
        style.nothing(axes, "no work was timed in two processes")
        return []
    axes.axhline(1, color=style.INK, linewidth=0.9, zorder=1)
    signs: dict[str, Any] = {}
    for row in sorted(rows, key=lambda r: (text(r, "decoder") != "autoregressive", text(r, "decoder"))):
        look = style.look(text(row, "decoder"))
        place = value_id("stability", row, "relative")
        style.mark(axes, Measure(minutes(row)), measure(row, "relative"), look, place, size=3.6)
        signs.setdefault(arm(row), _sign(look["marker"], look["color"]))
    axes.set_ylabel("latency /\nits median in the run")
    return list(signs.items())


def _repetitions(axes: Any, rows: list[Any]) -> list[tuple[str, Any]]:
    """Draw samples per cell, with a stem from clean to all samples if some were flagged; return the key's entries."""
    axes.set_title("samples per cell")
    signs: dict[str, Any] = {}
    for row in rows:
        reason = text(row, "stop_reason")
        words, marker, color = REASONS.get(reason, (reason, *OTHER))
        look = {"marker": marker, "color": color}
        taken = Measure(number(row, "n_all"))
        style.mark(axes, Measure(minutes(row)), taken, look, value_id("stability", row, "n_all"), size=4.2)
        if number(row, "flagged") > 0:
            ends = [number(row, "n_all") - number(row, "flagged"), number(row, "n_all")]
            axes.plot([minutes(row)] * 2, ends, color=style.INK, linewidth=1.6, zorder=5)
            signs["flagged samples"] = _sign("|", style.INK)
        signs.setdefault(words, _sign(marker, color))
    axes.set_ylim(0, max(number(r, "n_all") for r in rows) * 1.08)
    axes.set_ylabel("samples")
    return sorted(signs.items(), key=lambda entry: entry[0] == "flagged samples")


def _sign(marker: str, color: str) -> Any:
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, marker=marker, linestyle="none", markersize=4.5)


FIGURE = Figure(
    name="stability",
    title="The machine over the run",
    tables=("stability",),
    alt=(
        "Two panels over the minutes of the run. Above: the latency of work that several processes timed, over its "
        "median, around a line at one. Below: how many samples each cell took, by shape the reason it stopped; "
        "a dark stem marks flagged samples."
    ),
    draw=draw,
)
