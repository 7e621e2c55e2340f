"""After how many warm-up passes a pass takes as long as the later ones."""

from __future__ import annotations

from collections import defaultdict

from pardec.common.lazy import lazy
from pardec.evidence.comparison import delta as margin
from pardec.evidence.findings.base import Finding, Found, Row, Rows, computed, ident

statistics = lazy("pardec.evidence.statistics")


def find(tables: Rows) -> list[Found]:
    """By pass: the median over cells of its latency relative to the cell's samples; and when that settles.

    Settled means: the 95 % interval of this pass and of every later one lies within 1 ± δ, δ being the noise floor or
    3 %, whichever is larger. Where no pass has settled, or no noise floor was measured, there is no such value.
    """
    rows = [row for row in tables["warmup"] if row["relative"] is not None]
    passes: dict[int, list[Row]] = defaultdict(list)
    for row in rows:
        passes[row["pass"]].append(row)
    if not passes:
        return []
    medians = {p: statistics.median([row["relative"] for row in passes[p]]) for p in sorted(passes)}
    told = "median over cells of this warm-up pass's latency / the median of the cell's samples"
    found: list[Found] = []
    for number, m in medians.items():
        ends = {"low": m.low, "high": m.high, "unit": "×", "n": m.n}
        found.append(
            computed(ident("warmup", "relative", number), "warmup", passes[number], m.value, told, **ends)
        )
    last = max(passes)
    told = "warm-up passes measured"
    found.append(computed(ident("warmup", "passes"), "warmup", passes[last], last, told, unit="passes"))
    widths = [row["half_width"] for row in tables["noise"] if row["half_width"] is not None]
    settled = _settled(medians, margin(max(widths, default=None)))
    if settled is not None:
        told = "warm-up passes after which every pass takes as long as the samples, within the margin of equality"
        found.append(
            computed(
                ident("warmup", "settled"), "warmup", rows, settled - 1, told, unit="passes", n=len(rows)
            )
        )
    return found


def _settled(medians: dict, delta: float | None) -> int | None:
    """The first pass from which on all lie within the margin."""
    if delta is None:
        return None
    first = None
    for number in sorted(medians, reverse=True):
        low, high = medians[number].low, medians[number].high
        if low is None or low < 1 - delta or high > 1 + delta:
            break
        first = number
    return first


FINDING = Finding("warmup", ("warmup", "noise"), find)
