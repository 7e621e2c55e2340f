"""Figure: tokens per second of one request against tokens per second of the machine, over batch."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import decoder_words, measure, need, number, text, value_id

style = lazy("pardec.report.figures.style")

KINDS = ("batch", "block")
"""Kinds of experiments that ask for it; others have few batches."""


def draw(tables: Tables) -> Any:
    """Draw one panel per task and shape: a line per decoder through its batches, the front behind them."""
    from matplotlib.lines import Line2D

    rows = [row for row in need(tables, "interactivity") if text(row, "experiment_kind") in KINDS]
    shown = _panels(rows)
    canvas, panels = style.panels(len(shown), height=2.9, columns=2)
    for axes, (name, these) in zip(panels, shown, strict=False):
        _panel(axes, name, these)
    decoders = sorted(
        {text(row, "decoder"): row for row in rows}.items(), key=lambda item: item[0] != "autoregressive"
    )
    entries = []
    for decoder, row in decoders:
        look = style.look(decoder)
        handle = Line2D([], [], color=look["color"], marker=look["marker"], linestyle="-", markersize=4.5)
        entries.append((decoder_words(row), handle))
    if any(row["equal_quality"] is False for row in rows):
        hollow = Line2D(
            [], [], color=style.INK, marker="o", linestyle="none", markerfacecolor=style.BACKGROUND
        )
        entries.append(("equal quality is not shown", hollow))
    entries.append(("not beaten on both", Line2D([], [], color=style.FAILED, linewidth=5, alpha=0.28)))
    style.key(canvas, entries)
    return canvas


def _panels(rows: list[Any]) -> list[tuple[str, list[Any]]]:
    """Return (title, rows) of each task, one canvas length a panel where a task has several."""
    panels = []
    for name, these in style.by_panel(rows):
        lengths = sorted({number(row, "new_tokens") for row in these})
        for length in lengths:
            title = name if len(lengths) == 1 else f"{name}, {style.plain(length)} tokens"
            panels.append((title, [row for row in these if number(row, "new_tokens") == length]))
    return panels


def _panel(axes: Any, name: str, rows: list[Any]) -> None:
    axes.set_title(name)
    series: dict[str, list[Any]] = defaultdict(list)
    for row in sorted(rows, key=lambda row: number(row, "batch")):
        series[text(row, "series")].append(row)
    best = sorted((row for row in rows if row["front"]), key=lambda row: number(row, "interactivity"))
    place = [(number(row, "interactivity"), number(row, "tokens_per_s")) for row in best]
    if place:
        axes.plot(*zip(*place, strict=True), color=style.FAILED, linewidth=5, alpha=0.28, zorder=1)
    if not best:
        style.nothing(axes)
        return
    for these in sorted(series.values(), key=lambda these: text(these[0], "decoder") == "autoregressive"):
        _line(axes, these)
    for column, axis in (("interactivity", axes.xaxis), ("tokens_per_s", axes.yaxis)):
        style.log_axis(axis, [number(row, column) for row in rows])
    axes.set_xlabel("tokens/s of a request")
    axes.set_ylabel("tokens/s of the machine")


def _line(axes: Any, rows: list[Any]) -> None:
    look = style.look(text(rows[0], "decoder"))
    sequential = text(rows[0], "decoder") == "autoregressive"
    xs, ys = ([number(row, column) for row in rows] for column in ("interactivity", "tokens_per_s"))
    axes.plot(
        xs,
        ys,
        color=look["color"],
        linewidth=1.5 if sequential else 0.7,
        alpha=1 if sequential else 0.5,
        zorder=3,
    )
    for row in rows:
        x, y = measure(row, "interactivity"), measure(row, "tokens_per_s")
        hollow = row["equal_quality"] is False
        style.mark(axes, x, y, look, value_id("interactivity", row, "interactivity"), hollow, size=4)
    if sequential:
        for row, at, height in zip(rows, xs, ys, strict=True):
            style.label(axes, text(row, "batch"), at, height, 7, -7, color=look["color"], fontsize=7)


FIGURE = Figure(
    name="interactivity",
    title="Speed per request and of the whole machine",
    tables=("interactivity",),
    alt=(
        "Small multiples, one per task and length. Horizontal: useful tokens per second of one request; vertical: of "
        "the whole machine; both logarithmic. A line joins the batches of one decoder, those of autoregression are "
        "numbered. Hollow marks failed their quality gate; a grey band joins the points that no other beats on both."
    ),
    draw=draw,
)
