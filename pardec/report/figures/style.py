"""Common look of figures: colours safe for colour-blind readers, shapes that survive black-and-white print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, NullLocator

from pardec.report.rows import (
    SEQUENTIAL,
    Measure,
    arm,
    is_parallel,
    lower_is_better,
    ordered,
    task,
    text,
    variant_of,
    variants,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, SOFT, GRID, BACKGROUND = "#1f2328", "#5b636d", "#dfe3e8", "#ffffff"
RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "svg.fonttype": "none",
    "axes.edgecolor": SOFT,
    "axes.labelcolor": INK,
    "axes.linewidth": 0.7,
    "axes.titlesize": 9.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": GRID,
    "grid.linewidth": 0.6,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "text.color": INK,
    "hatch.linewidth": 0.8,
    "figure.facecolor": BACKGROUND,
    "axes.facecolor": BACKGROUND,
    "savefig.facecolor": BACKGROUND,
}
# Okabe and Ito's palette. Each arm also has a unique marker and hatch: colour is never the only sign.
LOOKS = {
    "autoregressive": {"color": "#0072B2", "marker": "s", "hatch": "", "line": "-"},
    "transformers_generate": {"color": INK, "marker": "p", "hatch": "....", "line": "--"},
    "masked_diffusion": {"color": "#D55E00", "marker": "o", "hatch": "////", "line": "-"},
    "block_diffusion": {"color": "#882255", "marker": "h", "hatch": "\\\\//", "line": "-"},
    "jacobi": {"color": "#009E73", "marker": "D", "hatch": "oo", "line": "-"},
    "full_passes": {"color": "#5b636d", "marker": "X", "hatch": "----", "line": ":"},
    "speculative": {"color": "#E69F00", "marker": "v", "hatch": "xxxx", "line": ":"},
    "flash_flood": {"color": "#56B4E9", "marker": "P", "hatch": "++++", "line": "--"},
    "table_lookup": {"color": "#CC79A7", "marker": "^", "hatch": "\\\\", "line": "-."},
}
# Further arms of a decoder, and decoders not named above.
SPARE = [
    {"color": "#CC79A7", "marker": "^", "hatch": "\\\\\\\\", "line": "-."},
    {"color": "#E69F00", "marker": "v", "hatch": "xxxx", "line": ":"},
    {"color": "#56B4E9", "marker": "P", "hatch": "++++", "line": "--"},
]
SEQUENTIAL_SPARE = [
    {"color": "#56B4E9", "marker": "P", "hatch": "++++", "line": ":"},
    {"color": "#009E73", "marker": "X", "hatch": "----", "line": "-."},
]
FAILED = "#8a929b"
WIDTH = 7.4


def look(name: str, index: int = 0) -> dict[str, str]:
    """Return colour, marker, hatch and line of an arm; `index` above zero is for variants of the arm."""
    if name in LOOKS and index == 0:
        return LOOKS[name]
    spare = SEQUENTIAL_SPARE if name in SEQUENTIAL else SPARE
    return spare[(index - 1 if name in LOOKS else sum(map(ord, name))) % len(spare)]


def panels(
    count: int, height: float = 2.6, columns: int = 3, sharey: bool = False
) -> tuple[Canvas, list[Axes]]:
    """Return a canvas with `count` small multiples, as wide as the page; for none, a panel with a notice."""
    empty, count = count == 0, max(count, 1)
    columns = max(1, min(columns, count if count != 4 else 2))
    rows = max(1, -(-count // columns))
    engine = ConstrainedLayoutEngine(w_pad=0.06, h_pad=0.06, wspace=0.04, hspace=0.05)
    canvas = Canvas(figsize=(WIDTH, height * rows), layout=engine)
    grid = canvas.subplots(rows, columns, squeeze=False, sharey=sharey)
    axes = list(grid.flat)
    for spare in axes[count:]:
        spare.remove()
    if empty:
        nothing(axes[0])
    return canvas, axes[:count]


def by_panel(rows: list[Any]) -> list[tuple[str, list[Any]]]:
    """Return (title, rows) per workload, in the study's order; several experiments side by side."""
    groups: dict[tuple[str, str], list[Any]] = {}
    for row in rows:
        groups.setdefault((text(row, "experiment"), text(row, "task")), []).append(row)
    many = len({experiment for experiment, _ in groups}) > 1
    return [(f"{key[0]}: {task(rows[0])}" if many else task(rows[0]), rows) for key, rows in groups.items()]


def plain(value: float, _: Any = None) -> str:
    """Return an axis number, without exponent if it is readable without."""
    if value == 0:
        return "0"
    if abs(value) >= 100_000 or abs(value) < 0.001:
        return f"{value:.0e}"
    return f"{value:,.0f}" if abs(value) >= 10 else f"{value:g}"


def log_axis(axis: Any, values: list[float], base: int = 10) -> None:
    """Make an axis logarithmic with round ticks: 1, 2, 5 times a power, or exactly `values` for base 2."""
    import math

    from matplotlib.ticker import FixedLocator, LogLocator

    if axis.axis_name == "x":
        axis.axes.set_xscale("log", base=base)
    else:
        axis.axes.set_yscale("log", base=base)
    good = [v for v in values if v > 0]
    if base == 2 and good:
        axis.set_major_locator(FixedLocator(sorted(set(good))))
    elif good:
        decades = math.log10(max(good) / min(good)) if len(good) > 1 else 0
        spans = ((0.7, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)), (1.3, (1.0, 2.0, 5.0)), (2.6, (1.0, 3.0)))
        subs = next((ticks for reach, ticks in spans if decades <= reach), (1.0,))
        axis.set_major_locator(LogLocator(10, subs=subs, numticks=15))
    axis.set_minor_locator(NullLocator())
    axis.set_major_formatter(FuncFormatter(plain))


def mark(
    axes: Axes, x: Measure, y: Measure, style: dict, gid: str | None, hollow: bool = False, size: float = 5.5
) -> None:
    """Draw one point with its intervals; hollow if the quality gate failed."""
    color = style["color"]
    if any(x.spread) or any(y.spread):
        axes.errorbar(
            [x.value],
            [y.value],
            xerr=[[v] for v in x.spread] if any(x.spread) else None,
            yerr=[[v] for v in y.spread] if any(y.spread) else None,
            fmt="none",
            ecolor=color,
            elinewidth=0.9,
            capsize=0,
            alpha=0.65,
            zorder=3,
        )
    axes.plot(
        [x.value],
        [y.value],
        marker=style["marker"],
        markersize=size,
        linestyle="none",
        markeredgecolor=color,
        markeredgewidth=1.2,
        markerfacecolor=BACKGROUND if hollow else color,
        zorder=4,
        gid=gid,
    )


def label(axes: Axes, words: str, x: float, y: float, dx: float = 0, dy: float = 0, **options: Any) -> Any:
    """Draw a label `dx`, `dy` points away from a data position."""
    # A pale box keeps the words readable over lines; a stroked outline would turn the text of the SVG into
    # paths.
    box = {"boxstyle": "square,pad=0.08", "facecolor": BACKGROUND, "alpha": 0.75, "linewidth": 0}
    options = {"fontsize": 7.5, "ha": "center", "va": "center", "bbox": box, **options}
    return axes.annotate(
        words, (x, y), (dx, dy), textcoords="offset points", annotation_clip=False, **options
    )


def band(axes: Axes, y: Measure, style: dict, gid: str | None) -> None:
    """Draw a level with its interval across the panel, as a reference for curves."""
    down, up = y.spread
    axes.axhspan(y.value - down, y.value + up, color=style["color"], alpha=0.16, linewidth=0, zorder=1)
    axes.axhline(y.value, color=style["color"], linestyle=(0, (5, 2)), linewidth=1.2, zorder=2, gid=gid)


def quality_label(metric: str) -> str:
    """Return the y label of a quality axis: name, unit and direction."""
    names = {
        "exact": "exact match (fraction)",
        "scorer_nll": "scorer NLL (nats/token)",
    }
    return names.get(metric, metric.replace("_", " "))


def quality_axis(axes: Axes, row: Any) -> None:
    """Set the axis of `row`'s quality, with better values above; fractions share one scale in every panel."""
    metric = text(row, "quality_metric")
    if lower_is_better(row):
        axes.set_ylabel(f"{quality_label(metric)}\naxis reversed: up is better")
        axes.yaxis.set_inverted(True)
        return
    axes.set_ylabel(quality_label(metric))
    if metric == "exact":
        axes.set_ylim(-0.06, 1.16)
        axes.set_yticks([0, 0.25, 0.5, 0.75, 1], ["0", "0.25", "0.5", "0.75", "1"])


def nothing(axes: Axes, words: str = "no finished cell") -> None:
    """Write in a panel that there is nothing to show."""
    axes.set_axis_off()
    axes.text(0.5, 0.5, words, ha="center", va="center", transform=axes.transAxes, color=SOFT)


def arms(rows: list[Any]) -> list[tuple[str, dict, bool]]:
    """Return name, look and kind (parallel?) of every arm, for a key; looks are numbered within a task."""
    drawn: dict[tuple[str, int], tuple[str, bool]] = {}
    for name in ordered(text(row, "task") for row in rows):
        here = [row for row in rows if text(row, "task") == name]
        for variant, (words, index) in variants(here).items():
            row = next(r for r in here if variant_of(r) == variant)
            drawn.setdefault((variant[0], index), (words if index else arm(row), is_parallel(row)))
    order = sorted(drawn, key=lambda k: (k[0] != "autoregressive", drawn[k][1], k))
    return [(drawn[k][0], look(*k), drawn[k][1]) for k in order]


def key(canvas: Canvas, entries: list[tuple[str, Any]]) -> None:
    """Draw one row of explanations above the panels, for signs that cannot be labelled in place."""
    if entries:
        canvas.legend(
            [handle for _, handle in entries],
            [words for words, _ in entries],
            loc="outside upper left",
            ncols=len(entries) if sum(len(words) + 7 for words, _ in entries) < 105 else 3,
            frameon=False,
            fontsize=7.8,
            handletextpad=0.5,
            columnspacing=1.6,
            borderaxespad=0.0,
        )
