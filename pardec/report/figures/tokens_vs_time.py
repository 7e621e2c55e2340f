"""Figure: tokens written over time, by size of the table."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.grid_lines import Line, hollow, key, lines
from pardec.report.rows import Measure, need, number, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per size; time and tokens are linear, so sequential decoding is a straight line."""
    from matplotlib.ticker import FuncFormatter

    rows, commits = need(tables, "grid"), need(tables, "commits")
    # A model that needs one pass per token would dwarf the others; it is in the other figure.
    shown = [line for line in lines(rows) if not line.further]
    sizes = sorted({number(row, "new_tokens") for line in shown for row in line.rows})
    canvas, panels = style.panels(len(sizes), height=2.5, columns=2)
    wrong = False
    for axes, size in zip(panels, sizes, strict=False):
        here = [(line, row) for line in shown for row in line.rows if number(row, "new_tokens") == size]
        axes.set_title(f"{style.plain(size)} tokens")
        for line, row in here:
            _curve(axes, line, row, commits)
            wrong = wrong or hollow(row)
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("time (ms)")
        axes.set_ylabel("tokens written")
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(style.plain))
    key(canvas, shown, wrong)
    return canvas


def _curve(axes: Any, line: Line, row: Any, commits: Any) -> None:
    """Draw tokens after each event; a pass that commits many tokens is a step."""
    events = sorted((e for e in commits if e["cell"] == row["cell"]), key=lambda e: e["commit"])
    if not events:
        return
    at, tokens = ([0.0, *(number(event, name) for event in events)] for name in ("at_ms", "tokens"))
    look = line.look
    axes.step(at, tokens, where="post", color=look["color"], linestyle=look["line"], linewidth=1.3)
    end = Measure(at[-1]), Measure(tokens[-1])
    style.mark(axes, *end, look, value_id("grid", row, "latency_ms"), hollow(row), size=4.5)


FIGURE = Figure(
    name="tokens_vs_time",
    title="Tokens against time",
    tables=("grid", "commits"),
    alt=(
        "Small multiples, one per size of the table. Tokens written against time with linear axes: autoregressive "
        "decoding is a straight line, parallel decoders rise in steps. A mark ends each curve; it is hollow where "
        "the tables written are not right."
    ),
    draw=draw,
)
