"""Tables of what records hold beside their medians: samples, commits, warm-up passes, and series by their start."""

from __future__ import annotations

import datetime
import json
from collections.abc import Iterator
from itertools import accumulate
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import taken
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.pairs import Sample, clean, flags, kind_of, task_of

statistics = lazy("pardec.evidence.statistics")


def sides(record: Source) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield (side, what holds its samples): the cell, and the reference beside it if it was timed."""
    yield "cell", record.body
    if (record.body.get("reference") or {}).get("samples"):
        yield "reference", record.body["reference"]


def of_cell(cell: dict[str, Any]) -> Row:
    """Return the columns that describe a cell in these tables."""
    names = "experiment model arm decoder batch"
    steps = (cell.get("settings") or {}).get("steps")
    return {**{name: cell.get(name) for name in names.split()}, "task": task_of(cell), "steps": steps}


def _samples(inputs: Inputs) -> list[Row]:
    plain = "block order e2e_ms first_ms cpu_ms useful nfe"
    return [
        {
            "cell": record.body["cell"]["id"],
            "side": side,
            "sample": place,
            **{name: sample.get(name) for name in plain.split()},
            "prompts": " ".join(map(str, sample["prompts"])),
            "flags": " ".join(sample.get("flags") or ()),
            **record.origin,
        }
        for record in inputs.records
        for side, holder in sides(record)
        for place, sample in enumerate(holder["samples"])
    ]


SAMPLES = Table(
    name="samples",
    description="Every timed repetition of every cell and of its reference, as it was recorded.",
    needs=("records",),
    key=("cell", "side", "sample"),
    columns=columns("""
cell      text! | the cell's id
side      text! | cell or reference
sample    count | its position in its series
block     count | the block that pairs it with the other side
order     count | its position within the block
prompts   text | ids of the prompts
e2e_ms    number ms | end to end time
first_ms  number ms | time to the first committed token
cpu_ms    number ms | CPU time of the process
useful    count tokens kind=count | tokens before the end tokens, over the batch
nfe       count passes kind=count | forward passes
flags     text | flags for the machine's state
""")
    | SOURCES,
    build=_samples,
    published=False,
)

POINTS = 200
"""Most commits kept per sample; beyond that, evenly spaced ones and the last."""


def _commits(inputs: Inputs) -> list[Row]:
    kinds = inputs.study("kinds")
    return [
        {"cell": record.body["cell"]["id"], "commit": place, "at_ms": at, "tokens": tokens, **record.origin}
        for record in inputs.records
        if kind_of(record.body["cell"], kinds) == "grid" and record.body["samples"]
        for place, (at, tokens) in enumerate(curve(middle(record.body["samples"])))
    ]


def middle(samples: list[Sample]) -> Sample:
    """Return the clean sample whose end-to-end time is the (lower) median."""
    ordered = sorted(clean(samples), key=lambda sample: sample["e2e_ms"])
    return ordered[(len(ordered) - 1) // 2]


def curve(sample: Sample) -> list[tuple[float, float]]:
    """Return (milliseconds, tokens committed per row so far) after each pass with commits; at most POINTS + 1."""
    stamps, committed = sample.get("commit_ms") or [], sample.get("committed") or []
    totals = zip(stamps, committed, accumulate(committed), strict=True)
    points = [(at, total) for at, new, total in totals if new > 0]
    kept = points[:: -(-len(points) // POINTS) or 1]
    return kept if kept[-1:] == points[-1:] else [*kept, points[-1]]


COMMITS = Table(
    name="commits",
    description="Tokens committed against time in one sample of each cell of the grid experiment: the clean sample "
    "of median end to end time, event by event (evenly thinned where there are many).",
    needs=("records", "floors"),
    key=("cell", "commit"),
    columns=columns("""
cell    text! | the cell's id
commit  count | position of the event among those kept
at_ms   number ms | time of the event since decoding began
tokens  number tokens | tokens committed per row by then
""")
    | SOURCES,
    build=_commits,
    published=False,
)


def _warmup(inputs: Inputs) -> list[Row]:
    rows = []
    for record in inputs.records:
        cell = record.body["cell"]
        steady = statistics.percentile([sample["e2e_ms"] for sample in clean(record.body["samples"])], 50)
        for number, latency in enumerate(record.body.get("warmup_ms") or (), 1):
            times = {"latency_ms": latency, "relative": latency / steady if steady else None}
            rows.append({"cell": cell["id"], "pass": number, **of_cell(cell), **times, **record.origin})
    return rows


WARMUP = Table(
    name="warmup",
    description="Each warm-up pass of each cell, relative to the median of its samples.",
    needs=("records",),
    key=("cell", "pass"),
    columns=taken("cell experiment task model arm decoder steps batch")
    | columns("""
pass        count | 1 is the first after loading
latency_ms  number ms kind=reading | end to end time of this pass
relative    number × kind=reading | that / median of the cell's samples
""")
    | SOURCES,
    build=_warmup,
)

FILED = ("id", "experiment", "role", "run", "quality")
"""Fields of a cell that say where it is filed. All other fields, and its prompts, decide its work."""
FEWEST = 4
"""Fewest samples of a series for a comparison of its halves."""


def _stability(inputs: Inputs) -> list[Row]:
    starts = {record.path: _start(record) for record in inputs.records}
    first = min((start for start in starts.values() if start is not None), default=None)
    rows = []
    for record in inputs.records:
        start = starts[record.path]
        offset = None if start is None else (start - first).total_seconds()
        rows += [{**_series(record, side, holder), "started_s": offset} for side, holder in sides(record)]
    return _relative_to_the_same_work(rows)


def _series(record: Source, side: str, holder: dict[str, Any]) -> Row:
    body, taken = record.body, holder["samples"]
    cell = {**body["cell"], **(holder.get("cell") or {})}
    good = clean(taken)
    median = statistics.median([sample["e2e_ms"] for sample in good])
    row: Row = {
        "cell": body["cell"]["id"],
        "side": side,
        **of_cell(cell),
        "new_tokens": cell.get("new_tokens"),
        "work": _work(cell, good),
        "n": len(good),
        "n_all": len(taken),
        "flagged": sum(bool(sample.get("flags")) for sample in taken),
        "flags": flags(taken),
        "halves": _halves(good),
        "status": body["status"],
        **record.origin,
    }
    if median is not None:
        row |= {"latency_ms": median.value, "latency_low": median.low, "latency_high": median.high}
    if side == "cell":
        stop = body.get("stop") or {}
        row |= {"stop_reason": stop.get("reason") if taken else None}
        row |= {"reached": stop.get("half_width"), "target": stop.get("target")}
    return row


def _work(cell: dict[str, Any], samples: list[Sample]) -> str:
    """Return the work of a series. Its prompts belong to it, since the passes of some decoders depend on the text."""
    decides = {name: value for name, value in cell.items() if name not in FILED}
    prompts = sorted({" ".join(map(str, sample["prompts"])) for sample in samples})
    return json.dumps({**decides, "prompts": prompts}, sort_keys=True)


def _start(record: Source) -> datetime.datetime | None:
    start = (record.body.get("provenance") or {}).get("start")
    try:
        return datetime.datetime.fromisoformat(start)
    except (TypeError, ValueError):
        return None


def _halves(samples: list[Sample]) -> float | None:
    """Return the median of the later half over that of the earlier one: drift within one process."""
    if len(samples) < FEWEST:
        return None
    half = len(samples) // 2
    times = [sample["e2e_ms"] for sample in samples]
    return statistics.percentile(times[-half:], 50) / statistics.percentile(times[:half], 50)


def _relative_to_the_same_work(rows: list[Row]) -> list[Row]:
    """Add, for work timed in several processes, each median over the median of all."""
    for group in grouped((row for row in rows if row.get("latency_ms") is not None), "work").values():
        median = statistics.percentile([row["latency_ms"] for row in group], 50)
        behind = " ".join(dict.fromkeys(row["record"] for row in group))
        for row in group:
            row["times"] = len(group)
            if len(group) > 1:
                ends = (("", "latency_ms"), ("_low", "latency_low"), ("_high", "latency_high"))
                row |= {f"relative{end}": row[name] and row[name] / median for end, name in ends}
                row["same_work"] = behind
    return rows


STABILITY = Table(
    name="stability",
    description="Every timed series by when it ran: repetitions, why sampling stopped, flags, drift.",
    needs=("records",),
    key=("cell", "side"),
    columns=taken("cell experiment task model arm decoder steps batch new_tokens")
    | columns("""
side         text! | cell, or reference: the series beside it in the same process
work         text | everything that determines its time, its prompts included; equal in series of the same work
started_s    number s kind=reading better=neither | start of its process, from the start of the first cell's
n            size samples | clean samples
n_all        size samples | all samples
flagged      size samples | samples flagged for the machine's state
flags        text | those flags, with the number of samples that have each
stop_reason  text | why sampling ended
reached      number fraction kind=precision | half-width of the 95 % interval when sampling ended / median
target       number fraction kind=exact | the half-width that sampling aimed for
latency_ms   interval ms stem=latency | median end to end time of the clean samples
halves       number × of=n kind=precision | median of the later half of the samples / of the earlier half
times        count | series of the same work in this run
same_work    text | the files of all of them, from which `relative` is computed; separated by spaces
relative     interval × kind=precision | median / median over all series of the same work
status       text | how the cell ended
""")
    | SOURCES,
    build=_stability,
)
