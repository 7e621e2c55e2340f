"""Figure: quality over the number of steps, with the autoregressive quality."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.report.figures.base import Figure, Tables
from pardec.report.figures.latency_vs_steps import over_steps
from pardec.report.rows import need

style = lazy("pardec.report.figures.style")


def draw(tables: Tables) -> Any:
    """Return the figure: quality by steps."""
    return over_steps(need(tables, "steps"), "quality", _quality_axis)


def _quality_axis(axes: Any, rows: list[Any]) -> None:
    style.quality_axis(axes, rows[0])


FIGURE = Figure(
    name="quality_vs_steps",
    title="Quality against steps",
    tables=("steps",),
    alt=(
        "Small multiples, one per task. Horizontal: steps, doubling. Vertical: quality, better upwards. "
        "Masked diffusion is a curve with intervals; the autoregressive quality is a dashed level "
        "with its interval as a band."
    ),
    draw=draw,
)
