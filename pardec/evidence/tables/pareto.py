"""Which cells no other cell beats on both latency and quality."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.evidence.columns import SOURCES, count, flag, measured, size, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs

KEPT = (
    "task", "cell", "model", "arm", "decoder", "steps", "block", "batch", "prompt_tokens", "new_tokens", "n",
    "quality_n", "latency_ms", "latency_low", "latency_high", "quality", "quality_low", "quality_high",
    "quality_metric", "quality_better", *SOURCES,
)  # fmt: skip


def build(inputs: Inputs) -> list[dict[str, Any]]:
    """Cells of `steps` with both numbers, compared within one task and shape, by their estimates."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for row in inputs.rows("steps"):
        if row["latency_ms"] is not None and row["quality"] is not None:
            groups[tuple(row[c] for c in ("task", "batch", "prompt_tokens", "new_tokens"))].append(row)
    rows = []
    for group in groups.values():
        for row in group:
            better = sorted(
                (other for other in group if dominates(other, row)), key=lambda other: other["latency_ms"]
            )
            beaten_by = better[0]["cell"] if better else None
            rows.append({**{c: row[c] for c in KEPT}, "on_front": not better, "dominated_by": beaten_by})
    return rows


def dominates(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether a is no worse than b on latency and quality, and better on one."""
    sign = -1 if b["quality_better"] == "lower" else 1
    quality = sign * (a["quality"] - b["quality"])
    return (
        a["latency_ms"] <= b["latency_ms"]
        and quality >= 0
        and (a["latency_ms"] < b["latency_ms"] or quality > 0)
    )


TABLE = Table(
    name="pareto",
    description="Cells with latency and quality; `on_front` where no other cell of the task beats them "
    "on both.",
    needs=("steps",),
    key=("cell",),
    columns={
        "task": text("what is generated", nullable=False),
        "cell": text("the cell's id", nullable=False),
        "model": text("name of the model"),
        "arm": text("the study's name for decoder and settings"),
        "decoder": text("how tokens are written"),
        "steps": count("forward passes set"),
        "block": count("tokens of a block", "tokens"),
        "batch": count("prompts decoded together"),
        "prompt_tokens": count("prompt length", "tokens"),
        "new_tokens": count("length of the output canvas", "tokens"),
        "n": size("samples", "samples"),
        "quality_n": size("prompts scored", "prompts"),
        **measured("latency_ms", "ms", "end to end time of one batch generation, median", stem="latency"),
        **measured(
            "quality",
            "",
            "the task's main metric",
            count="quality_n",
            kind="quality",
            better="quality_better",
        ),
        "quality_metric": text("which"),
        "quality_better": text("higher or lower"),
        "on_front": flag("whether no other cell beats it on both"),
        "dominated_by": text("the fastest cell that does"),
        **SOURCES,
    },
    build=build,
)
