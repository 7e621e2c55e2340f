"""Figure: peak memory over length and batch, both families on one scale."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import measure, need, number, ok, text, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per decoder, one square with its number per (length, batch); failed cells are hatched."""
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    from pardec.report.figures.throughput_by_batch import arm_of

    rows = need(tables, "memory")
    length = length_column(rows)
    many = len({text(r, "task") for r in rows}) > 1

    def name(row: Any) -> str:
        return f"{text(row, 'task')}: {arm_of(row)}" if many else arm_of(row)

    order = sorted(
        rows, key=lambda r: (text(r, "task") if many else "", text(r, "decoder") != "autoregressive")
    )
    arms = list(dict.fromkeys(map(name, order)))
    xs, ys = sorted({number(r, length) for r in rows}), sorted({number(r, "batch") for r in rows})
    peaks = [measure(r, "peak_allocated_mb").value for r in rows if ok(r) and measure(r, "peak_allocated_mb")]
    canvas, panels = style.panels(len(arms), height=0.45 * len(ys) + 1.1, columns=2, sharey=True)
    if not peaks:
        style.nothing(panels[0])
        return canvas
    norm, colors = LogNorm(min(peaks), max(max(peaks), min(peaks) * 1.01)), colormaps["cividis"]
    for index, (axes, words) in enumerate(zip(panels, arms, strict=False)):
        axes.set_title(words)
        axes.grid(False)
        for row in (r for r in rows if name(r) == words):
            _square(axes, row, xs.index(number(row, length)), ys.index(number(row, "batch")), norm, colors)
        axes.set_xlim(-0.5, len(xs) - 0.5)
        axes.set_ylim(-0.5, len(ys) - 0.5)
        axes.set_xticks(range(len(xs)), [style.plain(x) for x in xs])
        axes.set_yticks(range(len(ys)), [style.plain(y) for y in ys])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("prompt tokens" if length == "prompt_tokens" else "new tokens")
        if index % 2 == 0:
            axes.set_ylabel("batch")
    _bar(canvas, panels[: len(arms)], norm, colors)
    return canvas


def length_column(rows: list[Any]) -> str:
    """Return the column that varies: new tokens, else prompt tokens."""
    new, prompt = ({row[name] for row in rows} - {None} for name in ("new_tokens", "prompt_tokens"))
    if len(new) < 2 <= len(prompt):
        return "prompt_tokens"
    return "new_tokens"


def _square(axes: Any, row: Any, x: int, y: int, norm: Any, colors: Any) -> None:
    from matplotlib.patches import Rectangle

    peak = measure(row, "peak_allocated_mb")
    place: dict[str, Any] = {"xy": (x - 0.47, y - 0.46), "width": 0.94, "height": 0.92, "linewidth": 0}
    if not ok(row) or not peak:
        axes.add_patch(Rectangle(**place, facecolor=style.GRID, edgecolor=style.FAILED, hatch="////"))
        style.label(axes, text(row, "status") or "none", x, y, fontsize=7.5, weight="bold")
        return
    shade = colors(norm(peak.value))
    axes.add_patch(Rectangle(**place, facecolor=shade, gid=value_id("memory", row, "peak_allocated_mb")))
    light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
    words = f"{peak.value:,.0f}" if peak.value >= 100 else f"{peak.value:.3g}"
    axes.text(x, y, words, ha="center", va="center", fontsize=7.5, color="#111111" if light else "#fefefe")


def _bar(canvas: Any, panels: list[Any], norm: Any, colors: Any) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    bar = canvas.colorbar(ScalarMappable(norm, colors), ax=panels, fraction=0.03, pad=0.015, aspect=18)
    bar.outline.set_visible(False)
    bar.locator = LogLocator(10, subs=(1.0, 2.0, 5.0))
    bar.minorlocator = NullLocator()
    bar.formatter = FuncFormatter(style.plain)
    bar.update_ticks()
    bar.set_label("peak allocated (MB)")


FIGURE = Figure(
    name="memory_heatmap",
    title="Peak memory by length and batch",
    tables=("memory",),
    alt=(
        "Heat maps side by side on one colour scale, one a decoder. Columns: length in tokens; "
        "rows: batch size; each square "
        "contains its peak allocated memory in megabytes. Hatched squares did not finish and name why."
    ),
    draw=draw,
)
