"""Numbers computed from several rows of the published tables: counts, extremes, fits. Each has one id, and names its
rows. What a single cell of a table says has that cell's id, and none here."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.comparison import delta
from pardec.evidence.tables.base import slug

statistics = lazy("pardec.evidence.statistics")
stats = lazy("scipy.stats")

Row = dict[str, Any]
Rows = dict[str, list[Row]]

LEVEL = 0.95
MANY, FEW = 200, 50
"""Roots in parallel, and roots one by one, whose times a seed document compares."""
H100 = {
    "copy_gb_per_s": (3350.0, "memory bandwidth"),
    "matmul_gflop_per_s": (989_000.0 / 2, "dense TF32 matmul rate"),
}
"""Rates of another machine by its maker's data sheet (NVIDIA H100, SXM; it gives TF32 with sparsity, dense is half)."""


@dataclass(frozen=True)
class Finding:
    """A number computed from the rows `keys` of `table`; `unit`, interval and `n` as in a table's column."""

    id: str
    table: str
    keys: tuple[str, ...]
    value: float
    description: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int | None = None


def finding(
    name: str, table: str, rows: Iterable[Row], value: float, description: str, **fields: Any
) -> Finding:
    """The finding `finding/<name>`, from `rows` of `table`; more: fields of `Finding`."""
    keys = tuple(row["key"] for row in rows)
    return Finding(f"finding/{slug(name)}", table, keys, value, description, **fields)


def counted(
    name: str, table: str, of: list[Row], kept: list[Row], description: str, **fields: Any
) -> Finding:
    """How many `of` the rows are `kept`; it rests on the kept ones, or on all where none is."""
    return finding(name, table, kept or of, len(kept), description, n=len(of), **fields)


def sizes(tables: Rows) -> Iterator[Finding]:
    """How many rows each table has."""
    for name, rows in tables.items():
        if rows:
            yield finding(f"rows/{name}", name, rows, len(rows), f"rows of the table {name}", n=len(rows))


def run(tables: Rows) -> Iterator[Finding]:
    """What the run consisted of."""
    rows = tables["cells"]
    if not rows:
        return
    kept = {
        "cells": (rows, "cells in the study"),
        "ok": ([r for r in rows if r["status"] == "ok"], "cells measured"),
        "failed": ([r for r in rows if r["status"] != "ok"], "cells that ended otherwise, kept as results"),
        "flagged": ([r for r in rows if r["flags"] is not None], "cells with a flag on some sample"),
        "disagreeing": (
            [r for r in rows if r["outputs_agree"] is False],
            "cells whose timed outputs differ from another cell's that ought to write the same",
        ),
    }
    for name, (some, words) in kept.items():
        yield counted(f"run/{name}", "cells", rows, some, words)
    total = sum(row["n_all"] for row in rows)
    yield finding("run/samples", "cells", rows, total, "timed generations of the cells", n=len(rows))
    agreed = sorted(
        (r for r in rows if r["flops_agreement"] is not None), key=lambda row: row["flops_agreement"]
    )
    if agreed:
        yield finding(
            "counted/cells",
            "cells",
            agreed,
            len(agreed),
            "cells whose operations torch's counter counted too",
        )
        for name, place in (("least", 0), ("middle", len(agreed) // 2), ("most", -1)):
            row = agreed[place]
            words = f"torch's count of operations over this project's, {name} of the cells"
            yield finding(
                f"counted/{name}", "cells", [row], row["flops_agreement"], words, unit="×", n=len(agreed)
            )


def answers(tables: Rows) -> Iterator[Finding]:
    """By experiment: comparisons made, and how many of them end in which verdict."""
    for (experiment,), rows in grouped(tables["answers"], "experiment").items():
        yield finding(
            f"answer/{experiment}/compared",
            "answers",
            rows,
            len(rows),
            "comparisons with a reference",
            n=len(rows),
        )
        for verdict in sorted({row["verdict"] for row in rows if row["verdict"]}):
            kept = [row for row in rows if row["verdict"] == verdict]
            words = f"comparisons whose fastest arm at equal quality is: {verdict}"
            yield counted(f"answer/{experiment}/{verdict}", "answers", rows, kept, words)


def noise(tables: Rows) -> Iterator[Finding]:
    """The noise floor: a maximum, so it says over how many cells."""
    rows = [row for row in tables["noise"] if row["half_width"] is not None]
    if rows:
        yield counted("noise/cells", "noise", rows, rows, "cells measured against themselves")
        worst = max(rows, key=lambda row: row["half_width"])
        words = (
            "the noise floor: farthest that a cell measured against itself, or its interval, lies from one"
        )
        yield finding("noise/floor", "noise", [worst], worst["half_width"], words, n=len(rows))


def models(tables: Rows) -> Iterator[Finding]:
    """How many floors the models reach."""
    rows = tables["models"]
    if rows:
        met = [row for row in rows if row["met"] is True]
        missed = [row for row in rows if row["met"] is not True]
        yield counted("models/floors", "models", rows, rows, "floors set")
        yield counted("models/met", "models", rows, met, "floors reached")
        yield counted("models/missed", "models", rows, missed, "floors missed")


def memory(tables: Rows) -> Iterator[Finding]:
    """Peak memory of both families at the largest shape that both finished, and what did not finish."""
    rows = tables["memory"]
    if not rows:
        return
    lost = [row for row in rows if row["status"] == "oom"]
    yield counted("memory/oom", "memory", rows, lost, "cells of the memory grid that ran out of memory")
    pair = memory_pair(rows)
    if pair is not None:
        share = pair[1]["peak_allocated_mb"] / pair[0]["peak_allocated_mb"]
        words = "peak allocated memory, diffusion / autoregressive, at the largest shape that both finished"
        yield finding("memory/ratio", "memory", pair, share, words, unit="×")


def memory_pair(rows: list[Row]) -> tuple[Row, Row] | None:
    """(autoregressive, diffusion) at the largest batch × length; of several cells the one with the fewest steps."""
    shapes: dict[tuple, dict[str, Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["steps"] or 0, reverse=True):
        if row["status"] == "ok" and row["peak_allocated_mb"] is not None:
            shapes[row["task"], row["batch"], row["prompt_tokens"], row["new_tokens"]][row["family"]] = row
    kinds = ("autoregressive", "masked_diffusion")
    both = [(pair[kinds[0]], pair[kinds[1]]) for pair in shapes.values() if set(kinds) <= pair.keys()]
    return max(both, key=lambda pair: pair[0]["batch"] * pair[0]["new_tokens"], default=None)


def sequence(tables: Rows) -> Iterator[Finding]:
    """How memory grows with prompt and output together: one exponent an arm, at its smallest batch and fewest steps.

    An arm that holds no cache has no exponent of it.
    """
    done = [row for row in tables["length"] if row["status"] == "ok"]
    for (task, arm), rows in grouped(done, "task", "arm").items():
        least = min(map(_shape, rows))
        for column in ("cache_mb", "working_mb"):
            kept = [row for row in rows if _shape(row) == least and (row[column] or 0) > 0]
            lengths = [
                (row["prompt_tokens"] or row["prompt_mean_tokens"] or 0) + row["new_tokens"] for row in kept
            ]
            fit = statistics.loglog_slope(lengths, [row[column] for row in kept])
            if fit is not None:
                words = f"exponent e of {column} ~ tokens^e over the tokens of prompt and output together"
                ends = {"low": fit.low, "high": fit.high, "n": fit.n}
                yield finding(f"sequence/{column}/{task}/{arm}", "length", kept, fit.value, words, **ends)


def _shape(row: Row) -> tuple[int, int, int, str]:
    return row["batch"], row["steps"] or 0, row["prompt_tokens"] or 0, row["settings"] or ""


def stability(tables: Rows) -> Iterator[Finding]:
    """How still the machine held over the run, and how much repetition it took."""
    rows = tables["stability"]
    cells = [row for row in rows if row["side"] == "cell" and row["status"] == "ok"]
    if cells:
        most, least = max(row["n_all"] for row in cells), min(row["n_all"] for row in cells)
        yield finding("stability/most", "stability", cells, most, "most samples a cell took", n=len(cells))
        yield finding("stability/least", "stability", cells, least, "fewest samples", n=len(cells))
    for reason in sorted({row["stop_reason"] for row in cells if row["stop_reason"]}):
        kept = [row for row in cells if row["stop_reason"] == reason]
        words = f"cells whose sampling ended because: {reason}"
        yield counted(f"stability/stop/{reason}", "stability", cells, kept, words)
    if rows:
        totals = {"samples": "n_all", "flagged": "flagged"}
        for name, column in totals.items():
            total = sum(row[column] for row in rows)
            words = f"timed generations of cells and references: {name}"
            yield finding(f"stability/{name}", "stability", rows, total, words, n=len(rows))
    yield from _drift([row for row in rows if row["relative"] is not None])


def _drift(rows: list[Row]) -> Iterator[Finding]:
    """The trend of the same work's latency over the run.

    Theil-Sen slope of log(relative latency) over time with its distribution-free interval (Sen 1968), over the
    run's span: a slope that a few disturbed series cannot bend.
    """
    if not rows:
        return
    works = len({row["work"] for row in rows})
    words = "series whose work was timed in several processes"
    yield finding("stability/again", "stability", rows, len(rows), words, n=works)
    yield finding("stability/works", "stability", rows, works, "different works among them")
    far = max(rows, key=lambda row: abs(math.log(row["relative"])))
    same = [row for row in rows if row["work"] == far["work"]]
    ends = {"low": far["relative_low"], "high": far["relative_high"], "unit": "×", "n": far["n"]}
    words = "the same work's latency farthest from its median over the run"
    yield finding("stability/farthest", "stability", same, far["relative"], words, **ends)
    times: list[Any] = [row["started_s"] for row in rows]
    if None in times or len(set(times)) < 3:
        return
    slope = stats.theilslopes([math.log(row["relative"]) for row in rows], times, LEVEL)
    span = max(times) - min(times)
    value, low, high = (math.exp(span * s) for s in (slope.slope, slope.low_slope, slope.high_slope))
    words = "factor by which the same work's latency changes from the run's first cell to its last"
    ends = {"low": low, "high": high, "unit": "×", "n": len(rows)}
    yield finding("stability/drift", "stability", rows, value, words, **ends)
    words = "time between the start of the first and of the last of them"
    yield finding("stability/span", "stability", rows, span, words, unit="s", n=len(rows))


def warmup(tables: Rows) -> Iterator[Finding]:
    """By warm-up pass: the median over cells of its latency relative to the cell's samples; and when that settles.

    Settled means: the 95 % interval of this pass and of every later one lies within 1 ± δ, see `comparison.delta`.
    """
    rows = [row for row in tables["warmup"] if row["relative"] is not None]
    passes = {number: rows for (number,), rows in sorted(grouped(rows, "pass").items())}
    if not passes:
        return
    medians = {p: statistics.median([row["relative"] for row in these]) for p, these in passes.items()}
    words = "median over cells of this warm-up pass's latency / the median of the cell's samples"
    for number, m in medians.items():
        ends = {"low": m.low, "high": m.high, "unit": "×", "n": m.n}
        yield finding(f"warmup/relative/{number}", "warmup", passes[number], m.value, words, **ends)
    last = max(passes)
    yield finding("warmup/passes", "warmup", passes[last], last, "warm-up passes measured", unit="passes")
    floor = max((r["half_width"] for r in tables["noise"] if r["half_width"] is not None), default=None)
    settled = _settled(medians, delta(floor))
    if settled is not None:
        words = "warm-up passes after which every pass takes as long as the samples, within the margin of equality"
        yield finding("warmup/settled", "warmup", rows, settled - 1, words, unit="passes", n=len(rows))


def _settled(medians: dict, within: float) -> int | None:
    """The first pass from which on all lie within the margin."""
    first = None
    for number in sorted(medians, reverse=True):
        low, high = medians[number].low, medians[number].high
        if low is None or low < 1 - within or high > 1 + within:
            break
        first = number
    return first


def flood(tables: Rows) -> Iterator[Finding]:
    """Times faster, by sequential arm paired with the flood; many roots in parallel against few one by one; and the
    rendering rate that another machine would have if it grew in step with one of its rates (modelled, not measured).

    Latencies of separate processes: their ratio's interval is the widest that both intervals allow.
    """
    done = [row for row in tables["flood"] if row["status"] == "ok"]
    for row in done:
        column = against_the_flood(row)
        if column and row[column] is not None and row[f"{column}_low"]:
            words = f"times as fast as {row['arm']} the flood is, from the same pairs: 1 / {column}"
            ends = {"low": 1 / row[f"{column}_high"], "high": 1 / row[f"{column}_low"], "unit": "×"}
            name = f"flood/times-faster/{row['key']}"
            yield finding(name, "flood", [row], 1 / row[column], words, n=row["n_pairs"], **ends)
    few = next((row for row in done if _is(row, "by_root", FEW) and row["candidates"] == 1), None)
    for row in done:
        if few is not None and _is(row, "parallel", MANY):
            words = f"latency of {MANY} roots in parallel / of {FEW} root by root, from separate processes"
            low, high = row["latency_low"] / few["latency_high"], row["latency_high"] / few["latency_low"]
            value, name = row["latency_ms"] / few["latency_ms"], f"flood/more-in-less/k~{row['candidates']}"
            yield finding(name, "flood", [row, few], value, words, low=low, high=high, unit="×")
    best = fastest_flood(done)
    rates = {row["fact"]: row["value"] for row in tables["machine"]}
    for rate, (elsewhere, words) in H100.items():
        if best is not None and rates.get(rate):
            factor = elsewhere / rates[rate]
            words = (
                f"modelled, not measured: rendered tokens/s here x {words} of an H100 by its data sheet / the rate "
                f"measured here (machine, {rate})"
            )
            low, high = (best[f"chunks_per_s_{end}"] * factor for end in ("low", "high"))
            ends = {"low": low, "high": high, "unit": "tokens/s", "n": best["n"]}
            yield finding(
                f"flood_model/{rate}", "flood", [best], best["chunks_per_s"] * factor, words, **ends
            )


def against_the_flood(row: Row) -> str | None:
    """The column that compares a sequential cell with the flood it is paired with; None for all other cells.

    Characters one by one fill a canvas of their own, so there it is the ratio of rates.
    """
    if row["reference_order"] != "parallel" or row["plan"] == "manager":
        return None
    if row["decoder"] == "autoregressive":
        return "throughput_ratio"
    return "ratio" if row["order"] in ("by_root", "by_candidate") else None


def fastest_flood(rows: list[Row]) -> Row | None:
    """The plain parallel cell, one candidate and given plan, that renders most tokens a second."""
    plain = {"status": "ok", "decoder": "flash_flood", "order": "parallel", "plan": "given", "candidates": 1}
    kept = [r for r in rows if r["chunks_per_s_low"] is not None and plain.items() <= r.items()]
    return max(kept, key=lambda row: row["chunks_per_s"], default=None)


def _is(row: Row, order: str, roots: int) -> bool:
    """Whether it is the plain cell of that order and size: given plan, passes of any size, with an interval."""
    plain = row["decoder"] == "flash_flood" and row["plan"] == "given" and row["chunk_batch"] is None
    return plain and row["order"] == order and row["roots"] == roots and bool(row["latency_low"])


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple, list[Row]]:
    """Rows by their content of `columns`, in order of appearance."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return dict(groups)


FINDINGS: dict[Callable[[Rows], Iterator[Finding]], tuple[str, ...]] = {
    sizes: (),
    run: ("cells",),
    answers: ("answers",),
    noise: ("noise",),
    models: ("models",),
    memory: ("memory",),
    sequence: ("length",),
    stability: ("stability",),
    warmup: ("warmup", "noise"),
    flood: ("flood", "machine"),
}
"""Every group of findings with the tables that it needs."""


def find(tables: Rows) -> list[Finding]:
    """Every finding that the rows of `tables` support."""
    groups = [group for group, needed in FINDINGS.items() if all(name in tables for name in needed)]
    return [item for group in groups for item in group(tables)]
