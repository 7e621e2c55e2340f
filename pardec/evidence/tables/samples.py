"""Table `samples`: raw samples, one per row, so that the report need not read records."""

from __future__ import annotations

from typing import Any

from pardec.evidence.columns import SOURCES, count, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    for record in inputs.records:
        reference = record.body.get("reference") or {"samples": []}
        for arm, samples in (("cell", record.body["samples"]), ("reference", reference["samples"])):
            for place, sample in enumerate(samples):
                rows.append(
                    {
                        "cell": record.body["cell"]["id"],
                        "side": arm,
                        "sample": place,
                        "block": sample["block"],
                        "order": sample.get("order"),
                        "prompts": " ".join(map(str, sample["prompts"])),
                        **{
                            name: sample.get(name)
                            for name in ("e2e_ms", "first_ms", "cpu_ms", "useful", "nfe")
                        },
                        "flags": " ".join(sample.get("flags") or ()) or None,
                        "record": record.path,
                        "record_sha256": record.sha256,
                    }
                )
    return rows


TABLE = Table(
    name="samples",
    description="Every timed repetition of every cell and of its reference, as it was recorded.",
    needs=("records",),
    key=("cell", "side", "sample"),
    columns={
        "cell": text("the cell's id", nullable=False),
        "side": text("cell or reference", nullable=False),
        "sample": count("its place in its series"),
        "block": count("the block that pairs it with the other side"),
        "order": count("its place within the block"),
        "prompts": text("ids of the prompts"),
        "e2e_ms": number("ms", "end to end time"),
        "first_ms": number("ms", "time to the first committed token"),
        "cpu_ms": number("ms", "CPU time of the process"),
        "useful": count("tokens before the end tokens, over the batch", "tokens", kind="count"),
        "nfe": count("forward passes", "passes", kind="count"),
        "flags": text("what the machine's state raised"),
        **SOURCES,
    },
    build=build,
    published=False,
)
