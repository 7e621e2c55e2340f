"""Table `stability`: every timed series by its start, with drift within it and between repeats of the same work."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, count, measured, number, size, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.pairs import Sample, clean, flags, task_of

statistics = lazy("pardec.evidence.statistics")

WORK = ("model", "arm", "decoder", "settings", "engine", "precision", "device", "threads", "batch")
SHAPE = ("prompt_tokens", "new_tokens", "random_prompts", "data")
FEWEST = 4
"""Fewest samples of a series for a comparison of its halves."""


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    starts = [start for record in inputs.records if (start := _start(record)) is not None]
    for record in inputs.records:
        start = _start(record)
        offset = None if start is None else (start - min(starts)).total_seconds()
        sides = (("cell", record.body), ("reference", record.body.get("reference") or {}))
        for side, holder in sides:
            if side == "cell" or holder.get("samples"):
                rows.append(_row(record, side, holder, offset))
    return _relative_to_the_same_work(rows)


def _row(record: Source, side: str, holder: dict[str, Any], offset: float | None) -> dict[str, Any]:
    body, stop = record.body, record.body.get("stop") or {}
    cell, record_cell = {**body["cell"], **(holder.get("cell") or {})}, body["cell"]
    good = clean(holder["samples"])
    middle = statistics.median([sample["e2e_ms"] for sample in good]) if good else None
    return {
        "cell": record_cell["id"],
        "side": side,
        "experiment": record_cell["experiment"],
        "task": task_of(record_cell),
        **{name: cell.get(name) for name in ("model", "arm", "decoder", "batch", "new_tokens")},
        "steps": (cell.get("settings") or {}).get("steps"),
        "work": json.dumps({name: cell.get(name) for name in (*WORK, *SHAPE)}, sort_keys=True),
        "started_s": offset,
        "took_s": body.get("measured_s") if side == "cell" else None,
        "n": len(good),
        "n_all": len(holder["samples"]),
        "flagged": sum(bool(sample.get("flags")) for sample in holder["samples"]),
        "flags": flags(holder["samples"]),
        "stop_reason": (stop.get("reason") if holder["samples"] else None) if side == "cell" else None,
        "reached": stop.get("half_width") if side == "cell" else None,
        "target": stop.get("target") if side == "cell" else None,
        "latency_ms": middle and middle.value,
        "latency_low": middle and middle.low,
        "latency_high": middle and middle.high,
        "halves": _halves(good),
        "status": body["status"],
        "record": record.path,
        "record_sha256": record.sha256,
    }


def _start(record: Source) -> datetime.datetime | None:
    start = (record.body.get("provenance") or {}).get("start")
    try:
        return datetime.datetime.fromisoformat(start)
    except (TypeError, ValueError):
        return None


def _halves(samples: list[Sample]) -> float | None:
    """Returns the median of the later half over that of the earlier one: drift within one process."""
    if len(samples) < FEWEST:
        return None
    half = len(samples) // 2
    times = [sample["e2e_ms"] for sample in samples]
    return statistics.percentile(times[-half:], 50) / statistics.percentile(times[:half], 50)


def _relative_to_the_same_work(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Add, for work timed in several processes, each median over the median of all."""
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in rows:
        if row["latency_ms"] is not None:
            groups[row["work"]].append(row)
    for group in groups.values():
        middle = statistics.percentile([row["latency_ms"] for row in group], 50)
        behind = " ".join(dict.fromkeys(row["record"] for row in group))
        for row in group:
            row["times"] = len(group)
            if len(group) > 1:
                row |= {
                    "same_work": behind,
                    "relative": row["latency_ms"] / middle,
                    "relative_low": row["latency_low"] and row["latency_low"] / middle,
                    "relative_high": row["latency_high"] and row["latency_high"] / middle,
                }
    return rows


TABLE = Table(
    name="stability",
    description="Every timed series by when it ran: repetitions, why sampling stopped, flags, drift.",
    needs=("records",),
    key=("cell", "side"),
    columns={
        "cell": text("the cell's id", nullable=False),
        "side": text("cell, or reference: the series beside it in the same process", nullable=False),
        "experiment": text("the question it belongs to"),
        "task": text("what is generated"),
        "model": text("name of the model"),
        "arm": text("the study's name for decoder and settings"),
        "decoder": text("how tokens are written"),
        "steps": count("forward passes set"),
        "batch": count("prompts decoded together"),
        "new_tokens": count("tokens written a row", "tokens"),
        "work": text("all that decides how long it takes; equal in series of the same work"),
        "started_s": number(
            "s", "start of its process, from the start of the first cell's", kind="reading", better="neither"
        ),
        "took_s": number("s", "time its process spent measuring", kind="reading"),
        "n": size("clean samples", "samples"),
        "n_all": count("all samples", "samples"),
        "flagged": size("samples that the machine's state flags", "samples"),
        "flags": text("those flags, with how many samples bear each"),
        "stop_reason": text("why sampling ended"),
        "reached": number(
            "fraction", "half-width of the 95 % interval when sampling ended / median", kind="precision"
        ),
        "target": number("fraction", "the half-width that sampling aimed for", kind="exact"),
        **measured("latency_ms", "ms", "median end to end time of the clean samples", "latency"),
        "halves": number(
            "×", "median of the later half of the samples / of the earlier half", "n", kind="precision"
        ),
        "times": count("series of the same work in this run"),
        "same_work": text("the files of them all, which `relative` rests on; separated by spaces"),
        **measured("relative", "×", "median / median over all series of the same work", kind="precision"),
        "status": text("how the cell ended"),
        **SOURCES,
    },
    build=build,
)
