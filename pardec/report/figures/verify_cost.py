"""Figure: time of wider passes of the target, and the tau at which they pay."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.drafts import key, looks
from pardec.report.rows import Measure, measure, need, number, ordered, text, value_id

style = lazy("pardec.report.figures.style")

SIDES = (
    ("cost", "time over a pass of one token (×)"),
    ("break_even_tau", "tau at which drafting breaks even"),
)


def draw(tables: Tables) -> Any:
    """Draw left: time of a pass over that of one token; right: tau at which a cycle equals sequential decoding."""
    rows = [r for r in need(tables, "verify_cost") if measure(r, "cost")]
    names = ordered(text(r, "model") for r in rows)
    canvas, panels = style.panels(2 if names else 0, height=2.7, columns=2)
    if not names:
        return canvas
    signs = looks(names)
    for axes, (column, words) in zip(panels, SIDES, strict=True):
        for name in names:
            of_model = [r for r in rows if text(r, "model") == name and measure(r, column)]
            of_model.sort(key=lambda r: number(r, "nodes"))
            points = [(number(r, "nodes"), number(r, column)) for r in of_model]
            sign = signs[name]
            if points:
                axes.plot(
                    *zip(*points, strict=True), color=sign["color"], linestyle=sign["line"], linewidth=1.1
                )
            for row in of_model:
                gid = value_id("verify_cost", row, column)
                style.mark(axes, Measure(number(row, "nodes")), measure(row, column), sign, gid, size=4.5)
        if not any(measure(r, column) for r in rows):
            style.nothing(axes, "no draft was timed")
            continue
        widths = sorted({number(r, "nodes") for r in rows})
        axes.set_xticks(widths, [f"{int(w)}" for w in widths])
        axes.set_xlabel("tokens in the pass")
        axes.set_ylabel(words)
        axes.set_ylim(0, None)
    key(canvas, signs)
    return canvas


FIGURE = Figure(
    name="verify_cost",
    title="What a wider verification costs",
    tables=("verify_cost",),
    alt=(
        "Left: time of one pass of the target by the tokens in it, over the time for a single token. Right: the mean "
        "tokens that a cycle must commit to be as fast as sequential decoding, at each width. One line per target."
    ),
    draw=draw,
)
