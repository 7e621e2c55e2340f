"""Compare a published number with the same number of another run, by the kind that its column declares.

A run's interval covers the scatter of its own samples. Two runs differ by more, since each times a cell in one process,
and processes of one configuration differ (memory layout, clocks, neighbours). `process_noise` measures this difference
from the reference arm, which a run times in many processes. An absolute timing's standard error therefore combines its
interval and the noise between processes of both runs; a ratio of pairs within one process has its interval only.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import BY_UNIT
from pardec.evidence.tables.base import grouped
from pardec.evidence.tables.registry import TABLES

stats = lazy("scipy.stats")

Value = dict[str, Any]
Z95 = 1.959963984540054
REPRODUCED, DIFFERS, NOT_COMPARABLE = "reproduced", "differs", "not comparable"
NEVER = {
    "size": "a sample size, which the stopping rule sets",
    "precision": "states how precise the run was",
    "reading": "a single reading",
    "tail": "a tail percentile, without an interval",
    "tally": "a tally of rows, which are compared one by one",
}
"""Kinds that are not compared, and why. A finding's whole number is a `tally` too."""
CLOCKED = ("time", "rate", "energy")
"""Kinds that differ between processes of one configuration."""
OF_MACHINE = (*CLOCKED, "memory")
"""Kinds that another machine need not reproduce."""
FEWEST = 6
"""Fewest values for a 95 % interval by order statistics: the range of five covers 1 - 2 / 2**5, 94 %."""
MEMORY_SHARE = 0.01
"""Relative tolerance of peak memory: a resident set is read once, in pages."""


@dataclass(frozen=True)
class Opinion:
    """A rule's verdict on one value. p: of no difference, before any adjustment; None if not tested."""

    verdict: str
    why: str
    p: float | None = None


@dataclass(frozen=True)
class Pair:
    """Both sides of one value, and related facts of both runs.

    a, b: as in values.json. latency: the latency of the row that contains the value, of both runs, or None. noise:
    relative standard deviation between processes of each run, 0 where unknown. same_platform: whether processor and
    libraries are the same. same_outputs: whether prompts that both timed gave the same counts, None if unknown.
    other_prompts: whether both timed prompts, and none of them in both. clocked: whether its decoder chooses by the
    duration of its cycles. times: whether absolute times, energies and memory are compared; another machine has its
    own.
    """

    id: str
    a: Value
    b: Value
    latency: tuple[Value, Value] | None = None
    noise: tuple[float, float] = (0.0, 0.0)
    same_platform: bool = True
    same_outputs: bool | None = None
    other_prompts: bool = False
    clocked: bool = False
    times: bool = True

    @property
    def same_n(self) -> bool:
        """Return whether as many values stand behind both sides."""
        return self.a.get("n") == self.b.get("n")


def kind(ident: str, value: Value) -> str:
    """Return a number's kind: that of its column; for a finding, by its interval and unit."""
    table, _, rest = ident.partition("/")
    column = TABLES.load(table).columns.get(rest.rpartition("/")[2]) if table in TABLES else None
    if column is not None:
        return column.kind
    number = value.get("value")
    if value.get("ci_low") is None and number is not None and float(number).is_integer():
        return "tally"
    return BY_UNIT.get(value.get("unit") or "", "fit")


def agree(pair: Pair) -> Opinion:
    """Return whether the second side reproduces the first; both must have a value."""
    x, y = pair.a["value"], pair.b["value"]
    of = kind(pair.id, pair.a)
    ends = [interval(side, of) for side in (pair.a, pair.b)]
    if of in ("exact", "count") and pair.clocked:
        return Opinion(NOT_COMPARABLE, "a count of a decoder that chooses by the clock")
    if x == y:
        return Opinion(REPRODUCED, "equal", None if None in ends else 1.0)
    if of in NEVER:
        return Opinion(NOT_COMPARABLE, NEVER[of])
    if not pair.times and (of in OF_MACHINE or (pair.a.get("unit") or "").startswith("ms")):
        return Opinion(NOT_COMPARABLE, "absolute: the machine decides")
    if of == "memory":
        near = abs(x - y) <= MEMORY_SHARE * max(abs(x), abs(y))
        why = f"memory {'within' if near else 'apart by more than'} one percent"
        return Opinion(REPRODUCED if near else DIFFERS, why)
    if of in ("quality", "exact", "count") and None in ends and pair.same_outputs is None:
        if not pair.same_n:
            return Opinion(NOT_COMPARABLE, "another number of prompts")
        if pair.other_prompts:
            return Opinion(NOT_COMPARABLE, "timed on other prompts")
    if of == "quality" and pair.same_platform and pair.same_n:
        return Opinion(DIFFERS, "the same outputs of the same prompts must score the same")
    if of in ("exact", "count") and None in ends:
        return _counted(pair, of)
    return _measured(pair, of, ends)


def _counted(pair: Pair, of: str) -> Opinion:
    """Return the opinion on a count, a mean over the timed prompts: it may differ if counts per prompt agree."""
    if of == "exact" or pair.same_outputs is None:
        return Opinion(DIFFERS, "counts must be equal")
    if pair.same_outputs:
        return Opinion(REPRODUCED, "equal on every prompt that both runs timed")
    return Opinion(DIFFERS, "a prompt that both runs timed gave another count")


def _measured(pair: Pair, of: str, ends: list[tuple[float, float] | None]) -> Opinion:
    x, y = pair.a["value"], pair.b["value"]
    clocked = of in CLOCKED
    x_ends, y_ends = ends
    if x_ends is not None and y_ends is not None:
        p = _p_timing(x, y, x_ends, y_ends, pair.noise) if clocked else p_value(x, y, *x_ends, *y_ends)
        return Opinion(REPRODUCED, "the interval of the difference covers 0", p)
    if clocked and pair.latency is not None:
        x_scaled, y_scaled = (_scaled(v, near) for v, near in zip((x, y), pair.latency, strict=True))
        if x_scaled is not None and y_scaled is not None:
            why = "the interval of the difference, as wide as the latency's, covers 0"
            return Opinion(REPRODUCED, why, _p_timing(x, y, x_scaled, y_scaled, pair.noise))
    if clocked and x > 0 and y > 0 and abs(math.log(y / x)) <= Z95 * math.hypot(*pair.noise):
        return Opinion(REPRODUCED, "within the noise between processes")
    sides = zip((pair.a, pair.b), ends, strict=True)
    few = any(end is None and None not in (side.get("ci_low"), side.get("ci_high")) for side, end in sides)
    why = f"interval unknown: fewer than {FEWEST} values" if few else "measured, without an interval"
    return Opinion(NOT_COMPARABLE, why)


def interval(value: Value, of: str) -> tuple[float, float] | None:
    """Return the 95 % interval of a value; None without one, or if too few values support it.

    Any `n` is accepted for a fit, whose interval comes from residuals, and for a finding, whose `n` counts rows.
    """
    low, high, n = (value.get(name) for name in ("ci_low", "ci_high", "n"))
    of_samples = of != "fit" and not str(value.get("id", "")).startswith("finding/")
    if low is None or high is None or (of_samples and n is not None and n < FEWEST):
        return None
    return low, high


def _scaled(x: float, latency: Value) -> tuple[float, float] | None:
    """Return an interval for x with the latency's relative width."""
    ends = interval(latency, "time")
    return None if ends is None or not latency["value"] else tuple(x * end / latency["value"] for end in ends)


def p_value(
    x: float, y: float, x_low: float, x_high: float, y_low: float, y_high: float, spread: float = 0.0
) -> float:
    """Return two-sided p of no difference between x and y, from their 95 % intervals.

    Each interval counts on the side that faces the other value (Zou & Donner 2008, MOVER), by normal theory. spread:
    standard deviation of a further, independent part of the difference that neither interval covers.
    """
    if x == y:
        return 1.0
    reach = math.hypot(x - x_low, y_high - y) if x > y else math.hypot(x_high - x, y - y_low)
    reach = math.hypot(reach, Z95 * spread)
    return float(2 * stats.norm.sf(abs(x - y) / reach * Z95)) if reach > 0 else 0.0


def _p_timing(
    x: float, y: float, x_ends: tuple[float, float], y_ends: tuple[float, float], noise: tuple[float, float]
) -> float:
    """Return p of no difference between two timings, on logarithms.

    Noise between processes multiplies a time. Without logarithms it would scale with the larger time: at 20 % noise,
    even a factor of a thousand would lie within five standard errors.
    """
    if min(x, y, *x_ends, *y_ends) <= 0:
        return p_value(x, y, *x_ends, *y_ends, math.hypot(noise[0] * x, noise[1] * y))
    x_low, x_high, y_low, y_high = map(math.log, (*x_ends, *y_ends))
    return p_value(math.log(x), math.log(y), x_low, x_high, y_low, y_high, math.hypot(*noise))


SAME_PROCESS_ARM = (
    "experiment", "task", "reference", "reference_model", "reference_decoder", "engine", "precision", "batch",
    "prompt_tokens", "new_tokens", "random_prompts", "tuning",
)  # fmt: skip
"""Columns shared by cells whose processes timed the same reference arm at the same shape."""


def process_noise(rows: Iterable[dict[str, Any]]) -> float | None:
    """Return the relative standard deviation between processes of one configuration; None without repeated processes.

    Every cell's process times the reference arm of its experiment. The result is the pooled standard deviation of the
    logarithm of its median latency, over all groups of such processes. It includes the scatter of samples, so it is an
    upper estimate. The rows are those of table `cells`.
    """
    timed = (row for row in rows if row["reference_latency_ms"] is not None)
    # A reference without its own cell has no recorded settings, so two such references may be different arms.
    groups = grouped((row for row in timed if row["reference"] is not None), *SAME_PROCESS_ARM).values()
    latencies = [[math.log(row["reference_latency_ms"]) for row in group] for group in groups]
    freedom = sum(len(logs) - 1 for logs in latencies)
    if freedom < 1:
        return None
    squares = sum((one - sum(logs) / len(logs)) ** 2 for logs in latencies for one in logs)
    return math.sqrt(squares / freedom)
