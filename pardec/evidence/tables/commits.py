"""Table `commits`: times at which tokens were committed, in one sample of each cell of the `grid` experiment."""

from __future__ import annotations

from itertools import accumulate
from typing import Any

from pardec.evidence.columns import SOURCES, count, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.grid import EXPERIMENT
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, clean, kind_of

POINTS = 200
"""Most commits kept per sample; beyond that, evenly spaced ones and the last."""


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    for record in inputs.records:
        cell = record.body["cell"]
        if kind_of(cell, inputs.study("kinds")) == EXPERIMENT and record.body["samples"]:
            trail = {"record": record.path, "record_sha256": record.sha256}
            for place, (at, tokens) in enumerate(curve(middle(record.body["samples"]))):
                rows.append({"cell": cell["id"], "commit": place, "at_ms": at, "tokens": tokens, **trail})
    return rows


def middle(samples: list[Sample]) -> Sample:
    """Returns the clean sample whose end-to-end time is the (lower) median."""
    ordered = sorted(clean(samples), key=lambda sample: sample["e2e_ms"])
    return ordered[(len(ordered) - 1) // 2]


def curve(sample: Sample) -> list[tuple[float, float]]:
    """Returns (milliseconds, tokens committed per row so far) after each pass with commits; at most POINTS + 1."""
    stamps, committed = sample.get("commit_ms") or [], sample.get("committed") or []
    points = [
        (at, total)
        for at, new, total in zip(stamps, committed, accumulate(committed), strict=True)
        if new > 0
    ]
    every = -(-len(points) // POINTS) if points else 1
    kept = points[::every]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]


TABLE = Table(
    name="commits",
    description="Tokens committed against time in one sample of each cell of the grid experiment: the clean sample "
    "of median end to end time, event by event (evenly thinned where there are many).",
    needs=("records", "floors"),
    key=("cell", "commit"),
    columns={
        "cell": text("the cell's id", nullable=False),
        "commit": count("place of the event among those kept"),
        "at_ms": number("ms", "time of the event since decoding began"),
        "tokens": number("tokens", "tokens a row committed by then"),
        **SOURCES,
    },
    build=build,
    published=False,
)
