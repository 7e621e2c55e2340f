"""Does one published number agree with the same number of another run? Rules by what kind of number it is.

A run's interval tells how far its own samples scatter. Two runs differ by more than that: each times a cell in one
process, and processes of one configuration differ (memory layout, clocks, neighbours). How much they do, a run shows by
itself, since it times one reference arm in many processes: `process_noise`. So an absolute timing's standard error has
two parts, its interval and the noise between processes of both runs; a ratio of pairs within one process has its
interval alone.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from pardec.common.lazy import lazy

stats = lazy("scipy.stats")

Value = dict[str, Any]
Z95 = 1.959963984540054
REPRODUCED, DIFFERS, NOT_COMPARABLE = "reproduced", "differs", "not comparable"

EXACT, SIZE, PRECISION, READING, TAIL = "exact", "sample size", "precision", "reading", "tail"
MEAN, MEMORY, QUALITY, PAIRED, TIMING = "mean over samples", "memory", "quality", "paired", "timing"

EXACT_UNITS = ("tokens", "passes", "FLOP", "B", "cells", "steps", "texts", "prompts")
"""Units of numbers that a study decides, not a clock."""
TIME_UNITS = ("ms", "s", "tokens/s", "GB/s", "GFLOP/s")
RATES = ("mfu", "mbu")
"""Columns without a unit that are an amount over a time."""
PRECISIONS = ("ratio_spread", "half_width", "stop_half_width", "noise_floor", "floor")
"""Columns that say how precise a run was, not what it measured."""
SIZES = ("n_all", "samples", "flagged")
"""Numbers that the stopping rule or the machine's quiet set, beside the columns that tables count by."""
MEANS = ("useful_tokens", "nfe", "token_forwards", "tokens_per_forward")
"""Columns that are a mean over the prompts that happened to be timed; so is any count that is no whole number."""
QUALITIES = ("quality", "reference_quality", "best_quality", "fastest_quality", "distinct")
MEMORY_SHARE = 0.01
"""Peaks of memory that lie this close are the same: a resident set is read in pages, once."""


@dataclass(frozen=True)
class Opinion:
    """What a rule says of one value. p: of no difference, before any adjustment; None where it was not tested."""

    verdict: str
    why: str
    p: float | None = None


@dataclass(frozen=True)
class Pair:
    """Both sides of one value, and what is known beside them.

    a, b: as in values.json. latency: the latency of the row that the value stands in, of both runs, or None. noise:
    relative standard deviation between processes of each run, 0 where unknown. same_platform: whether processor and
    libraries are the same. same_outputs: whether prompts that both timed gave the same counts, None if untold.
    """

    id: str
    a: Value
    b: Value
    latency: tuple[Value, Value] | None = None
    noise: tuple[float, float] = (0.0, 0.0)
    same_platform: bool = True
    same_outputs: bool | None = None


def kind(ident: str, value: Value) -> str:
    """Which rule judges a number."""
    column, unit = ident.rpartition("/")[2], value.get("unit") or ""
    table = ident.partition("/")[0]
    records = value.get("records") or []
    if column in SIZES or column in _counts() or unit in ("samples", "pairs"):
        return SIZE
    if column in PRECISIONS:
        return PRECISION
    if column == "ready_s" or (table == "warmup" and column != "pass"):
        return READING
    if column.endswith(("_p95_ms", "_p99_ms")):
        return TAIL
    if column in MEANS:
        return MEAN
    if unit == "MB":
        return MEMORY
    if unit in TIME_UNITS or column in RATES:
        return TIMING
    if column.startswith(QUALITIES) or (
        records and not any(path.endswith("timing.json") for path in records)
    ):
        return QUALITY
    whole = value["value"] is not None and float(value["value"]).is_integer()
    if unit in EXACT_UNITS:
        return EXACT if whole else MEAN
    if unit == "" and whole:
        return EXACT
    return PAIRED


@cache
def _counts() -> frozenset[str]:
    """Columns that say how many values stand behind another."""
    from pardec.evidence.tables.registry import TABLES

    columns = [column for name in TABLES for column in TABLES.load(name).columns.values()]
    return frozenset(column.count for column in columns if column.count)


def agree(pair: Pair) -> Opinion:
    """Whether the second side reproduces the first, both having a value."""
    x, y = pair.a["value"], pair.b["value"]
    if x == y:
        return Opinion(REPRODUCED, "equal", 1.0 if _interval(pair.a) and _interval(pair.b) else None)
    kinds = [kind(pair.id, side) for side in (pair.a, pair.b)]
    of = kinds[0] if kinds[0] != EXACT else kinds[1]  # a mean, or a ratio, may happen to be whole
    if of in (EXACT, MEAN) and None not in map(_interval, (pair.a, pair.b)):
        of = PAIRED
    if of == SIZE:
        return Opinion(NOT_COMPARABLE, "a sample size, which the stopping rule sets")
    if of == PRECISION:
        return Opinion(NOT_COMPARABLE, "says how precise the run was")
    if of == READING:
        return Opinion(NOT_COMPARABLE, "a single reading")
    if of == TAIL:
        return Opinion(NOT_COMPARABLE, "a tail percentile, without an interval")
    if of == MEAN:
        return _mean(pair)
    if of == MEMORY:
        return _memory(x, y)
    if of == EXACT:
        return Opinion(DIFFERS, "counts must be equal")
    if of == QUALITY and pair.same_platform:
        return Opinion(DIFFERS, "the same outputs of the same prompts must score the same")
    return _measured(pair, of)


def _mean(pair: Pair) -> Opinion:
    if pair.same_outputs is None:
        return Opinion(DIFFERS, "counts must be equal")
    if pair.same_outputs:
        return Opinion(REPRODUCED, "equal on every prompt that both runs timed")
    return Opinion(DIFFERS, "a prompt that both runs timed gave another count")


def _memory(x: float, y: float) -> Opinion:
    if abs(x - y) <= MEMORY_SHARE * max(abs(x), abs(y)):
        return Opinion(REPRODUCED, "memory within one percent")
    return Opinion(DIFFERS, "memory apart by more than one percent")


def _measured(pair: Pair, of: str) -> Opinion:
    x, y = pair.a["value"], pair.b["value"]
    noise = pair.noise if of == TIMING else (0.0, 0.0)
    ends = [_interval(side) for side in (pair.a, pair.b)]
    if None not in ends:
        p = _p_timing(x, y, *ends, noise) if of == TIMING else p_value(x, y, *ends[0], *ends[1])
        return Opinion(REPRODUCED, "the interval of the difference covers 0", p)
    if of == TIMING and pair.latency is not None:
        scaled = [_scaled(v, latency) for v, latency in zip((x, y), pair.latency, strict=True)]
        if None not in scaled:
            why = "the interval of the difference, as wide as the latency's, covers 0"
            return Opinion(REPRODUCED, why, _p_timing(x, y, *scaled, noise))
    if of == TIMING and x > 0 and y > 0 and abs(math.log(y / x)) <= Z95 * math.hypot(*noise):
        return Opinion(REPRODUCED, "within the noise between processes")
    return Opinion(NOT_COMPARABLE, "measured, without an interval")


def _interval(value: Value) -> tuple[float, float] | None:
    low, high = value.get("ci_low"), value.get("ci_high")
    return None if low is None or high is None else (low, high)


def _scaled(x: float, latency: Value) -> tuple[float, float] | None:
    """An interval for x as wide, relative to x, as the latency's."""
    ends = _interval(latency)
    return None if ends is None or not latency["value"] else tuple(x * end / latency["value"] for end in ends)


def p_value(
    x: float, y: float, x_low: float, x_high: float, y_low: float, y_high: float, spread: float = 0.0
) -> float:
    """Two-sided p of no difference between x and y, from their 95 % intervals.

    Each interval counts on the side that faces the other value (Zou & Donner 2008, MOVER), by normal theory. spread:
    standard deviation of a further, independent part of the difference that neither interval holds.
    """
    if x == y:
        return 1.0
    reach = math.hypot(x - x_low, y_high - y) if x > y else math.hypot(x_high - x, y - y_low)
    reach = math.hypot(reach, Z95 * spread)
    return float(2 * stats.norm.sf(abs(x - y) / reach * Z95)) if reach > 0 else 0.0


def _p_timing(
    x: float, y: float, x_ends: tuple[float, float], y_ends: tuple[float, float], noise: tuple[float, float]
) -> float:
    """p of no difference between two timings, on logarithms.

    Noise between processes multiplies a time. On the times themselves it would count by the larger of both, so that
    with 20 % of noise no factor whatever, were it a thousand, lies more than five standard errors away.
    """
    numbers = (x, y, *x_ends, *y_ends)
    if min(numbers) <= 0:
        return p_value(*numbers, spread=math.hypot(noise[0] * x, noise[1] * y))
    return p_value(*map(math.log, numbers), spread=math.hypot(*noise))


SAME_PROCESS_ARM = (
    "experiment", "task", "reference", "reference_model", "reference_decoder", "engine", "precision", "batch",
    "prompt_tokens", "new_tokens", "random_prompts",
)  # fmt: skip
"""What cells share whose processes timed the same reference arm at the same shape."""


def process_noise(rows: Iterable[dict[str, Any]]) -> float | None:
    """Relative standard deviation between processes of one configuration, from rows of the table `cells`.

    The reference arm of an experiment is timed anew in the process of each of its cells: the pooled standard deviation
    of the logarithm of its median latency, over all groups of such processes. The scatter of the samples is part of it,
    so it errs on the wide side. None where no arm was timed in two processes.
    """
    groups: dict[tuple, list[float]] = defaultdict(list)
    for row in rows:
        # Without a cell of its own, nothing tells a reference's settings, so two of them may be two arms.
        if row["reference_latency_ms"] is not None and row["reference"] is not None:
            groups[tuple(row[name] for name in SAME_PROCESS_ARM)].append(
                math.log(row["reference_latency_ms"])
            )
    freedom = sum(len(logs) - 1 for logs in groups.values())
    if freedom < 1:
        return None
    squares = sum((one - sum(logs) / len(logs)) ** 2 for logs in groups.values() for one in logs)
    return math.sqrt(squares / freedom)
