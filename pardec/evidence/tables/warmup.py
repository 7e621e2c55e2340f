"""Table `warmup`: latency of each warm-up pass."""

from __future__ import annotations

from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, count, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import clean, task_of

statistics = lazy("pardec.evidence.statistics")


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    for record in inputs.records:
        body, cell = record.body, record.body["cell"]
        steady = statistics.percentile([sample["e2e_ms"] for sample in clean(body["samples"])], 50)
        for number_of, latency in enumerate(body.get("warmup_ms") or (), 1):
            rows.append(
                {
                    "cell": cell["id"],
                    "pass": number_of,
                    **{name: cell.get(name) for name in ("experiment", "model", "arm", "decoder", "batch")},
                    "task": task_of(cell),
                    "steps": cell["settings"].get("steps"),
                    "latency_ms": latency,
                    "relative": latency / steady if steady else None,
                    "record": record.path,
                    "record_sha256": record.sha256,
                }
            )
    return rows


TABLE = Table(
    name="warmup",
    description="Each warm-up pass of each cell, relative to the median of its samples.",
    needs=("records",),
    key=("cell", "pass"),
    columns={
        "cell": text("the cell's id", nullable=False),
        "pass": count("1 is the first after loading"),
        "experiment": text("the question it belongs to"),
        "task": text("what is generated"),
        "model": text("name of the model"),
        "arm": text("the study's name for decoder and settings"),
        "decoder": text("how tokens are written"),
        "steps": count("forward passes set"),
        "batch": count("prompts decoded together"),
        "latency_ms": number("ms", "end to end time of this pass", kind="reading"),
        "relative": number("×", "that / median of the cell's samples", kind="reading"),
        **SOURCES,
    },
    build=build,
)
