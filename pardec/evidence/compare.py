"""Does a second run reproduce the first? Value by value.

The rule: two values are reproduced when the 95 % interval of their difference covers 0. Its standard error comes from
both intervals, each on the side that faces the other value (Zou & Donner 2008, MOVER), by normal theory; over all
values so tested p is adjusted by Holm's method, and below 0.05 the values differ. Values without an interval must be
equal where they are counts or follow from the study; a measured one cannot be judged without an interval.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.run import Run

statistics = lazy("pardec.evidence.statistics")
stats = lazy("scipy.stats")

ALPHA = 0.05
Z95 = 1.959963984540054
REPRODUCED, DIFFERS, NOT_COMPARABLE = "reproduced", "differs", "not comparable"
VERDICTS = (REPRODUCED, DIFFERS, NOT_COMPARABLE)
EXACT_UNITS = ("tokens", "passes", "FLOP", "B", "cells", "steps", "texts", "prompts")
"""Units of numbers that a study decides, not a clock."""
SHAPE = (
    "task", "data", "model", "family", "arm", "decoder", "settings", "engine", "precision", "device", "threads",
    "batch", "prompt_tokens", "new_tokens",
)  # fmt: skip
"""What makes two cells the same configuration."""
SECTIONS = ("measure", "models", "data", "arms", "workloads", "likelihood")


@dataclass(frozen=True)
class Judged:
    """One value in both runs. a, b: as in values.json, None where missing. p: adjusted, where it was tested."""

    id: str
    verdict: str
    why: str
    a: dict[str, Any] | None
    b: dict[str, Any] | None
    p: float | None = None

    @property
    def change(self) -> float | None:
        """b / a - 1."""
        first, second = ((side or {}).get("value") for side in (self.a, self.b))
        return None if first in (None, 0) or second is None else second / first - 1


@dataclass
class Comparison:
    """judged: every value of either run, in order. machine, study: {fact: (a, b)} that differ. noise: the larger
    noise floor of both runs, where measured."""

    labels: tuple[str, str]
    judged: list[Judged]
    machine: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    study: dict[str, tuple[Any, Any]] = field(default_factory=dict)
    noise: float | None = None

    def count(self, verdict: str) -> int:
        return sum(one.verdict == verdict for one in self.judged)

    def reasons(self) -> Counter:
        return Counter((one.verdict, one.why) for one in self.judged)

    @property
    def share(self) -> float | None:
        """Reproduced, of the values that could be judged."""
        right, wrong = self.count(REPRODUCED), self.count(DIFFERS)
        return right / (right + wrong) if right + wrong else None


def compare(a: Run, b: Run) -> Comparison:
    """Judge every value of `a` and `b`.

    Raises:
        UserError: a run has no values.
    """
    first, second = a.values()["values"], b.values()["values"]
    shapes = _Shapes(a, b)
    ids = [*first, *(ident for ident in second if ident not in first)]
    judged = [judge(ident, first.get(ident), second.get(ident), shapes) for ident in ids]
    tested = [number for number, one in enumerate(judged) if one.p is not None]
    adjusted = statistics.holm([judged[number].p for number in tested])
    for number, p in zip(tested, adjusted.tolist(), strict=True):
        one = judged[number]
        verdict = DIFFERS if p < ALPHA else REPRODUCED
        why = "the interval of the difference excludes 0" if p < ALPHA else one.why
        judged[number] = Judged(one.id, verdict, why, one.a, one.b, p)
    machines = [_facts(run.json("results/machine.json")) for run in (a, b)]
    studies = [_facts({k: (run.json("results/study.json") or {}).get(k) for k in SECTIONS}) for run in (a, b)]
    return Comparison(
        (a.label, b.label), judged, _unlike(*machines), _unlike(*studies), _noise(first, second)
    )


def judge(ident: str, a: dict[str, Any] | None, b: dict[str, Any] | None, shapes: _Shapes) -> Judged:
    """The verdict on one value before the adjustment for many; `p` is raw."""

    def told(verdict: str, why: str, p: float | None = None) -> Judged:
        return Judged(ident, verdict, why, a, b, p)

    if a is None or b is None:
        return told(NOT_COMPARABLE, "only in the second run" if a is None else "only in the first run")
    if (a.get("unit") or "") != (b.get("unit") or ""):
        return told(NOT_COMPARABLE, "another unit")
    if shapes.differ(a, b):
        return told(NOT_COMPARABLE, "other settings of its cell")
    x, y = a["value"], b["value"]
    if x is None and y is None:
        return told(REPRODUCED, "no value in either")
    if x is None or y is None:
        return told(NOT_COMPARABLE, f"no value in the {'first' if x is None else 'second'} run")
    spread = [side.get(end) for side in (a, b) for end in ("ci_low", "ci_high")]
    if None not in spread:
        return told(REPRODUCED, "the interval of the difference covers 0", p_value(x, y, *spread))
    if x == y:
        return told(REPRODUCED, "equal")
    if is_sample_size(ident):
        return told(NOT_COMPARABLE, "a sample size, which the stopping rule sets")
    if is_exact(a) and is_exact(b):
        return told(DIFFERS, "counts must be equal")
    return told(NOT_COMPARABLE, "measured, without an interval")


def p_value(x: float, y: float, x_low: float, x_high: float, y_low: float, y_high: float) -> float:
    """Two-sided p of no difference between x and y, from their 95 % intervals."""
    if x == y:
        return 1.0
    reach = math.hypot(x - x_low, y_high - y) if x > y else math.hypot(x_high - x, y - y_low)
    return float(2 * stats.norm.sf(abs(x - y) / reach * Z95)) if reach > 0 else 0.0


def is_exact(value: dict[str, Any]) -> bool:
    """Whether a number without an interval is a count, or follows from the study alone."""
    unit = value.get("unit") or ""
    return unit in EXACT_UNITS or (unit == "" and float(value["value"]).is_integer())


def is_sample_size(ident: str) -> bool:
    return ident.rpartition("/")[2] in _sample_sizes()


@cache
def _sample_sizes() -> frozenset[str]:
    """Columns that say how many values stand behind another."""
    from pardec.evidence.tables.registry import TABLES

    columns = [column for name in TABLES for column in TABLES.load(name).columns.values()]
    return frozenset({column.count for column in columns if column.count} | {"n_all"})


class _Shapes:
    """Whether the records behind two values are of one configuration; each pair of records is read once."""

    def __init__(self, a: Run, b: Run):
        self.a, self.b = a, b
        self.known: dict[tuple[str, ...], bool] = {}

    def differ(self, a: dict[str, Any], b: dict[str, Any]) -> bool:
        first, second = a.get("records") or [], b.get("records") or []
        key = (*first, "", *second)
        if key not in self.known:
            # A finding may rest on another cell in the second run; only a cell that both name can be unlike itself.
            shared = set(first) & set(second)
            self.known[key] = any(self._shape(self.a, path) != self._shape(self.b, path) for path in shared)
        return self.known[key]

    @staticmethod
    def _shape(run: Run, path: str) -> Any:
        cell = (run.json(path) or {}).get("cell")
        return {key: cell.get(key) for key in SHAPE} if isinstance(cell, dict) else None


def _facts(body: Any) -> dict[str, Any]:
    """Leaves by dotted name; provenance left out."""
    found: dict[str, Any] = {}

    def walk(entry: Any, name: str) -> None:
        if isinstance(entry, dict):
            for key, inner in entry.items():
                if key != "provenance":
                    walk(inner, f"{name}.{key}" if name else str(key))
        else:
            found[name] = entry

    walk(body or {}, "")
    return found


def _unlike(a: dict[str, Any], b: dict[str, Any]) -> dict[str, tuple[Any, Any]]:
    names = [*a, *(name for name in b if name not in a)]
    return {name: (a.get(name), b.get(name)) for name in names if a.get(name) != b.get(name)}


def _noise(*runs: dict[str, dict[str, Any]]) -> float | None:
    """The widest A/A interval of both runs: what one arm differs from itself by within a run."""
    widths = [
        value["value"]
        for values in runs
        for ident, value in values.items()
        if ident.startswith("noise/") and ident.endswith("/half_width") and value["value"] is not None
    ]
    return max(widths, default=None)
