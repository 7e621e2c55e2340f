"""Choose the figures that a study has data for. Imports little, since the workflow calls it while planning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

ALWAYS = ("stability", "warmup", "roofline")
OF_KIND = {
    "steps": ("pareto", "latency_vs_steps", "quality_vs_steps"),
    "batch": ("throughput_by_batch", "interactivity", "scaling"),
    "length": ("memory_heatmap", "scaling"),
    "memory": ("memory_heatmap", "scaling"),
    "block": ("parallelism", "interactivity"),
    "grid": ("tokens_vs_time", "passes_vs_tokens"),
    "flood": ("flood_breakdown", "flood_scaling", "flood_surface"),
    "noise": ("noise",),
    "draft": (
        "draft_speedup", "tau_by_position", "verify_cost", "tau_vs_speed", "schedule", "cycle_profile",
    ),
}  # fmt: skip
"""Figures of a kind of experiment; a sweep over steps has them only where an arm has several numbers of steps."""


def figures_for(cells: Iterable[Any]) -> list[str]:
    """Return names of the figures that a study with these cells has data for, in the order of the page.

    cells: `study.cells.Cell`s; their kind of experiment, arm, settings and reference count.
    """
    steps: dict[tuple[str, str, str], set[Any]] = defaultdict(set)
    kinds: dict[str, str] = {}
    names: dict[str, None] = {}
    for cell in cells:
        kinds[cell.experiment] = cell.experiment_kind
        steps[cell.experiment, cell.workload, cell.arm].add(cell.settings.get("steps"))
        if cell.reference is not None and kinds[cell.experiment] != "noise":
            names["answers"] = None
    swept = {experiment for (experiment, *_), values in steps.items() if len(values - {None}) > 1}
    for experiment, kind in kinds.items():
        if kind in OF_KIND and (kind != "steps" or experiment in swept):
            names |= dict.fromkeys(OF_KIND[kind])
        else:
            names["ratios"] = None
    return [*names, *ALWAYS]
