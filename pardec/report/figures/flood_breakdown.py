"""Figure: shares of a flood's time."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")

PHASES = {
    "manager": ("#0072B2", ""),
    "level0": ("#E69F00", "////"),
    "level1": ("#D55E00", "\\\\\\\\"),
    "transfer": ("#009E73", "...."),
    "other": ("#8a929b", ""),
}


def draw(tables: Tables) -> Any:
    """Draw one bar per cell, its phases from left to right."""
    from matplotlib.patches import Patch

    rows = [r for r in need(tables, "flood") if _shown(r)]
    rows.sort(key=lambda r: (text(r, "plan"), number(r, "roots"), number(r, "candidates"), text(r, "order")))
    canvas, (axes, *_) = style.panels(1 if rows else 0, height=max(2.0, 0.24 * len(rows) + 1))
    for place, row in enumerate(rows):
        left = 0.0
        for phase, (color, hatch) in PHASES.items():
            share = number(row, f"{phase}_share")
            bar = axes.barh(
                [place],
                [share],
                0.7,
                left=left,
                facecolor=color,
                hatch=hatch,
                edgecolor=style.BACKGROUND,
                linewidth=0,
            )
            bar[0].set_gid(value_id("flood", row, f"{phase}_share"))
            left += share
    if rows:
        axes.set_yticks(range(len(rows)), [_name(r) for r in rows])
        axes.invert_yaxis()
        axes.set_xlim(0, 1)
        axes.set_xlabel("share of the latency")
        axes.grid(False, axis="y")
        entries = [
            (phase, Patch(facecolor=color, hatch=hatch, edgecolor=style.BACKGROUND))
            for phase, (color, hatch) in PHASES.items()
        ]
        style.key(canvas, entries)
    return canvas


def _shown(row: Any) -> bool:
    return (
        ok(row)
        and number(row, "level1_share") >= 0
        and not text(row, "chunk_batch")
        and text(row, "decoder") != "table_lookup"
    )


def _name(row: Any) -> str:
    jacobi = text(row, "manager") == "jacobi"
    plan = "" if text(row, "plan") != "manager" else "Jacobi manager, " if jacobi else "manager, "
    return f"{plan}{text(row, 'roots')} roots, K={text(row, 'candidates')}, {text(row, 'order').replace('_', ' ')}"


FIGURE = Figure(
    name="flood_breakdown",
    title="Where the time of a flood goes",
    tables=("flood",),
    alt=(
        "Horizontal bars, one per cell, each cut into the shares of its latency: manager, roots to chunks, chunks to "
        "characters, transfer and the rest. The shares of a bar sum to one."
    ),
    draw=draw,
)
