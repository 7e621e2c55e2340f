"""Figure: speed of the fastest decoder at equal quality, by block size (tokens) and batch."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.rows import measure, need, number, value_id

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Draw one panel per task: a column per block, a row per batch, in each square the speed ratio.

    Squares without equal quality are hatched, and the fastest of a row is framed.
    """
    from matplotlib import colormaps
    from matplotlib.colors import LogNorm

    rows = need(tables, "parallelism")
    shown = style.by_panel(rows)
    most = max((len({number(row, "batch") for row in these}) for _, these in shown), default=1)
    canvas, panels = style.panels(len(shown), height=0.45 * most + 1.1, columns=2)
    ratios = [number(row, "ratio") for row in rows if measure(row, "ratio")]
    reach = max([1.5, *(max(ratio, 1 / ratio) for ratio in ratios if ratio > 0)])
    norm, colors = LogNorm(1 / reach, reach), colormaps["PuOr"]
    for axes, (name, these) in zip(panels, shown, strict=False):
        axes.set_title(name)
        axes.grid(False)
        sizes, batches = (
            sorted({number(r, "size") for r in these}),
            sorted({number(r, "batch") for r in these}),
        )
        for row in these:
            _square(
                axes, row, sizes.index(number(row, "size")), batches.index(number(row, "batch")), norm, colors
            )
        axes.set_xlim(-0.5, len(sizes) - 0.5)
        axes.set_ylim(-0.5, len(batches) - 0.5)
        axes.set_xticks(range(len(sizes)), [style.plain(size) for size in sizes])
        axes.set_yticks(range(len(batches)), [style.plain(batch) for batch in batches])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        axes.set_xlabel("block size (tokens)")
        axes.set_ylabel("batch")
    return canvas


def _square(axes: Any, row: Any, x: int, y: int, norm: Any, colors: Any) -> None:
    from matplotlib.patches import Rectangle

    ratio = measure(row, "ratio")
    place: dict[str, Any] = {"xy": (x - 0.47, y - 0.46), "width": 0.94, "height": 0.92}
    if not ratio:
        axes.add_patch(
            Rectangle(**place, facecolor=style.GRID, edgecolor=style.FAILED, hatch="////", linewidth=0)
        )
        return
    shade = colors(norm(ratio.value))
    frame = {"edgecolor": style.INK, "linewidth": 1.6} if row["best"] else {"linewidth": 0}
    axes.add_patch(Rectangle(**place, **frame, facecolor=shade, gid=value_id("parallelism", row, "ratio")))
    light = 0.299 * shade[0] + 0.587 * shade[1] + 0.114 * shade[2] > 0.5
    ink = "#111111" if light else "#fefefe"
    axes.text(x, y, f"{ratio.value:.2g}×", ha="center", va="center", fontsize=7.5, color=ink)


FIGURE = Figure(
    name="parallelism",
    title="How much parallelism is right",
    tables=("parallelism",),
    alt=(
        "One panel per task. Columns: block size (tokens), from one to the whole canvas; rows: batch size. "
        "Each square has the speed of the fastest decoder at equal quality over autoregression; the fastest "
        "of a row is framed, and squares without equal quality are hatched."
    ),
    draw=draw,
)
