"""Figure: tokens per second at each batch size, arms side by side."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import arm, gate_failed, is_parallel, measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per task; at each batch one bar per arm, failed cells as a cross in place of their bar."""
    from matplotlib.patches import Patch

    cells = need(tables, "batch")
    shown = style.by_panel(cells)
    arms = looks(cells)
    canvas, panels = style.panels(len(shown), height=2.7, columns=2)
    for axes, (name, rows) in zip(panels, shown, strict=False):
        _panel(axes, name, rows, arms)
    entries = [
        (words, Patch(facecolor=look["color"], edgecolor=style.BACKGROUND, hatch=look["hatch"]))
        for words, look in arms.items()
    ]
    if any(gate_failed(r) for r in cells):
        entries.append(("equal quality is not shown", Patch(facecolor=style.BACKGROUND, edgecolor=style.INK)))
    style.key(canvas, entries)
    return canvas


def arm_of(row: Any) -> str:
    """Return an arm's name; for diffusion with its steps, since they determine its speed."""
    steps = text(row, "steps")
    if not is_parallel(row):
        return arm(row)
    name = f"{arm(row)}, block {text(row, 'block')}" if text(row, "block") else arm(row)
    return (
        f"{name}, {steps} {'step' if steps == '1' else 'steps'}" if steps else f"{name}, {text(row, 'arm')}"
    )


def looks(rows: list[Any]) -> dict[str, dict]:
    """Return each arm's look: sequential arms first, shades of the parallel family by steps."""
    rows = sorted(rows, key=lambda r: (is_parallel(r), text(r, "decoder"), number(r, "steps")))
    by_arm: dict[str, dict] = {}
    variants: dict[str, int] = {}
    for row in rows:
        if arm_of(row) not in by_arm:
            decoder = text(row, "decoder")
            by_arm[arm_of(row)] = style.look(decoder, variants.get(decoder, 0))
            variants[decoder] = variants.get(decoder, 0) + 1
    return by_arm


def _panel(axes: Any, name: str, rows: list[Any], arms: dict[str, dict]) -> None:
    from matplotlib.ticker import FuncFormatter

    axes.set_title(name)
    batches = sorted({number(r, "batch") for r in rows})
    present = [words for words in arms if any(arm_of(r) == words for r in rows)]
    width = 0.84 / max(len(present), 1)
    rates = [measure(r, "tokens_per_s") for r in rows if ok(r) and measure(r, "tokens_per_s")]
    heights = [rate.value + rate.spread[1] for rate in rates]
    if not heights:
        style.nothing(axes)
        return
    axes.set_ylim(0, max(heights) * 1.06)
    axes.yaxis.set_major_formatter(FuncFormatter(style.plain))
    for row in rows:
        x = (
            batches.index(number(row, "batch"))
            + (present.index(arm_of(row)) - (len(present) - 1) / 2) * width
        )
        _bar(axes, row, x, width, arms[arm_of(row)])
    axes.set_xticks(range(len(batches)), [style.plain(b) for b in batches])
    axes.grid(False, axis="x")
    axes.tick_params(axis="x", length=0)
    axes.set_xlabel("batch")
    axes.set_ylabel("useful tokens/s")


def _bar(axes: Any, row: Any, x: float, width: float, look: dict) -> None:
    rate = measure(row, "tokens_per_s")
    if not ok(row) or not rate:
        axes.annotate(
            "×",
            (x, 0),
            (0, 5),
            textcoords="offset points",
            ha="center",
            va="center",
            color=style.SOFT,
            weight="bold",
        )
        style.label(
            axes, text(row, "status"), x, 0, 0, 11, rotation=90, va="bottom", fontsize=6.5, color=style.SOFT
        )
        return
    hollow = gate_failed(row)
    bar = axes.bar(
        [x],
        [rate.value],
        width * 0.92,
        facecolor=style.BACKGROUND if hollow else look["color"],
        edgecolor=look["color"] if hollow else style.BACKGROUND,
        linewidth=1.0 if hollow else 0,
        hatch="" if hollow else look["hatch"],
    )
    bar[0].set_gid(value_id("batch", row, "tokens_per_s"))
    if any(rate.spread):
        axes.errorbar(
            [x], [rate.value], yerr=[[v] for v in rate.spread], fmt="none", ecolor=style.INK, elinewidth=0.9
        )


FIGURE = Figure(
    name="throughput_by_batch",
    title="Throughput by batch size",
    tables=("batch",),
    alt=(
        "Small multiples, one per task. Groups of bars, one group per batch size and one bar per "
        "decoder; height is useful tokens "
        "a second, from zero, with intervals. Hollow bars failed their quality gate; crosses did not finish."
    ),
    draw=draw,
)
