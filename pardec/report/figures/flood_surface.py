"""Figure: characters written per second over candidates and expansions per pass."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one square per setting with its rate; the largest column is a whole level in one pass."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    rows = surface(need(tables, "flood"))
    sizes = sorted({text(row, "chunk_batch") for row in rows}, key=_size)
    counts = sorted({number(row, "candidates") for row in rows})
    canvas, (axes, *_) = style.panels(1 if rows else 0, height=0.42 * len(counts) + 1.2)
    if not rows:
        return canvas
    rates = [number(row, "characters_per_s") for row in rows]
    norm, colors = LogNorm(min(rates), max(max(rates), min(rates) * 1.01)), colormaps["cividis"]
    for row in rows:
        place = sizes.index(text(row, "chunk_batch")), counts.index(number(row, "candidates"))
        _square(axes, row, place, colors(norm(number(row, "characters_per_s"))))
    axes.grid(False)
    axes.set_xlim(-0.5, len(sizes) - 0.5)
    axes.set_ylim(-0.5, len(counts) - 0.5)
    axes.set_xticks(
        range(len(sizes)), [style.plain(float(size)) if size else "whole level" for size in sizes]
    )
    axes.set_yticks(range(len(counts)), [style.plain(count) for count in counts])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    axes.set_xlabel("most expansions per pass, all candidates counted")
    axes.set_ylabel("candidates, K")
    axes.set_title(f"{style.plain(number(rows[0], 'roots'))} roots, characters/s")
    return canvas


def surface(rows: list[Any]) -> list[Any]:
    """Return finished parallel cells with given plans at the largest size with limited passes, one per setting."""
    rows = [
        row
        for row in rows
        if ok(row) and text(row, "order") == "parallel" and text(row, "plan") == "given"
        and number(row, "characters_per_s") > 0
    ]  # fmt: skip
    limited = [number(row, "roots") for row in rows if text(row, "chunk_batch")]
    cells: dict[tuple[str, str], Any] = {}
    for row in rows:
        if limited and number(row, "roots") == max(limited):
            cells.setdefault((text(row, "chunk_batch"), text(row, "candidates")), row)
    return list(cells.values())


def _size(words: str) -> float:
    return float(words) if words else float("inf")


def _square(axes: Any, row: Any, place: tuple[int, int], shade: Any) -> None:
    from matplotlib.patches import Rectangle

    x, y = place
    axes.add_patch(
        Rectangle(
            (x - 0.48, y - 0.46),
            0.96,
            0.92,
            linewidth=0,
            facecolor=shade,
            gid=value_id("flood", row, "characters_per_s"),
        )
    )
    light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
    words = style.plain(number(row, "characters_per_s"))
    axes.text(x, y, words, ha="center", va="center", fontsize=7.5, color="#111111" if light else "#fefefe")


FIGURE = Figure(
    name="flood_surface",
    title="Characters per second by candidates and expansions per pass",
    tables=("flood",),
    alt=(
        "A heat map. Columns: the most expansions that a pass takes, the last a whole level; rows: candidates a "
        "condition; each square contains the characters written per second, the lighter the more."
    ),
    draw=draw,
)
