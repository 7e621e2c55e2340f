"""Findings: numbers computed from several rows of the published tables, such as counts, extremes and fits.

Each finding has one id and names its rows. A number from a single table entry has that entry's id and is no finding.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.comparison import equal_within
from pardec.evidence.tables.base import Row, grouped, slug
from pardec.measure.roofline import CARDS, SIZES

statistics = lazy("pardec.evidence.statistics")
stats = lazy("scipy.stats")

Rows = dict[str, list[Row]]

LEVEL = 0.95
MANY, FEW = 200, 50
"""Numbers of roots, rendered in parallel and one by one, whose times a seed document compares."""
SHAPE = ("experiment", "task", "engine", "batch", "prompt_tokens", "new_tokens")
"""Columns that two cells share whose peaks of memory are compared."""
CARD = "h100"
"""The card that a seed document extrapolates to; its rates are those of its data sheet."""


@dataclass(frozen=True)
class Finding:
    """A number computed from the rows `keys` of `table`; `unit`, interval and `n` as for a table's column."""

    id: str
    table: str
    keys: tuple[str, ...]
    value: float
    description: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int | None = None


@dataclass(frozen=True)
class Declared:
    """Findings of one table that are a count, a sum, or the largest or smallest entry.

    name, words: id without `finding/`, and description; `{column}` is the entry in that column. table: its table. kept:
    which rows are counted. of: which of all rows count at all. each, by: columns, one finding for each of their
    entries; `n` is the number of rows with the entries of `each`. reduce: instead of a count, `sum`, `max` or `min` of
    a column.
    """

    name: str
    table: str
    words: str
    kept: Callable[[Row], bool] = lambda row: True
    of: Callable[[Row], bool] = lambda row: True
    each: tuple[str, ...] = ()
    by: tuple[str, ...] = ()
    reduce: tuple[Callable[[Iterable[float]], float], str] | None = None

    def findings(self, tables: Rows) -> Iterator[Finding]:
        """Yield one finding per group of rows of its table."""
        for whole in grouped(filter(self.of, tables[self.table]), *self.each).values():
            for entries, rows in grouped(whole, *self.by).items():
                if None in entries:
                    continue
                kept = [row for row in rows if self.kept(row)]
                value = self.reduce[0](row[self.reduce[1]] for row in kept) if self.reduce else len(kept)
                name, words = (text.format_map(rows[0]) for text in (self.name, self.words))
                yield finding(name, self.table, kept or rows, value, words, n=len(whole))


def finished(row: Row) -> bool:
    """Return whether the row is a cell that ran to the end."""
    return row["side"] == "cell" and row["status"] == "ok"


DECLARED = (
    Declared("run/cells", "cells", "cells in the study"),
    Declared("run/failed", "cells", "cells that did not finish, kept as results", lambda row: row["status"] != "ok"),
    Declared("run/flagged", "cells", "cells with a flag on some sample", lambda row: row["flags"] is not None),
    Declared("run/disagreeing", "cells", "cells whose timed outputs differ from another cell's that should write "
             "the same", lambda row: row["outputs_agree"] is False),
    Declared("run/samples", "cells", "timed generations of the cells", reduce=(sum, "n_all")),
    Declared("counted/cells", "cells", "cells whose operations torch's counter also counted",
             of=lambda row: row["flops_agreement"] is not None),
    Declared("answer/{experiment}/compared", "answers", "comparisons with a reference", each=("experiment",)),
    Declared("answer/{experiment}/{verdict}", "answers", "comparisons whose fastest arm at equal quality is: {verdict}",
             each=("experiment",), by=("verdict",)),
    Declared("noise/cells", "noise", "cells measured against themselves",
             of=lambda row: row["half_width"] is not None),
    Declared("models/floors", "models", "floors set"),
    Declared("models/met", "models", "floors reached", lambda row: row["met"] is True),
    Declared("models/missed", "models", "floors missed", lambda row: row["met"] is not True),
    Declared("stability/most", "stability", "most samples that a cell took", of=finished, reduce=(max, "n_all")),
    Declared("stability/least", "stability", "fewest samples", of=finished, reduce=(min, "n_all")),
    Declared("stability/stop/{stop_reason}", "stability", "cells whose sampling ended because: {stop_reason}",
             of=finished, by=("stop_reason",)),
    Declared("stability/samples", "stability", "timed generations: samples", reduce=(sum, "n_all")),
    Declared("stability/flagged", "stability", "timed generations: flagged", reduce=(sum, "flagged")),
    Declared("stability/again", "stability", "series whose work was timed in several processes",
             of=lambda row: row["relative"] is not None),
)  # fmt: skip
"""Findings without a function of their own."""


def finding(
    name: str, table: str, rows: Iterable[Row], value: float, description: str, **fields: Any
) -> Finding:
    """Return the finding `finding/<name>` from `rows` of `table`. fields: further fields of `Finding`."""
    keys = tuple(row["key"] for row in rows)
    return Finding(f"finding/{slug(name)}", table, keys, value, description, **fields)


def sizes(tables: Rows) -> Iterator[Finding]:
    """Yield the number of rows of each table."""
    for name, rows in tables.items():
        if rows:
            yield finding(f"rows/{name}", name, rows, len(rows), f"rows of the table {name}", n=len(rows))


def agreement(tables: Rows) -> Iterator[Finding]:
    """Yield the agreement of operation counts: least, middle and most."""
    agreed = [row for row in tables["cells"] if row["flops_agreement"] is not None]
    agreed.sort(key=lambda row: row["flops_agreement"])
    for name, place in (("least", 0), ("middle", len(agreed) // 2), ("most", -1)) if agreed else ():
        row, words = agreed[place], f"torch's count of operations over this project's, {name} of the cells"
        ends = {"unit": "×", "n": len(agreed)}
        yield finding(f"counted/{name}", "cells", [row], row["flops_agreement"], words, **ends)


def noise(tables: Rows) -> Iterator[Finding]:
    """Yield the noise floor, a maximum."""
    rows = [row for row in tables["noise"] if row["half_width"] is not None]
    if rows:
        worst = max(rows, key=lambda row: row["half_width"])
        words = "the noise floor: largest distance from one of a cell's ratio to itself, or of an end of its interval"
        yield finding("noise/floor", "noise", [worst], worst["half_width"], words, n=len(rows))


def memory(tables: Rows) -> Iterator[Finding]:
    """Yield the ratio of peak memory at the largest shape that both families finished."""
    pair = memory_pair(tables["memory"])
    if pair is not None:
        share = pair[1]["peak_allocated_mb"] / pair[0]["peak_allocated_mb"]
        words = "peak allocated memory, diffusion / autoregressive, at the largest shape that both finished"
        yield finding("memory/ratio", "memory", pair, share, words, unit="×")


def memory_pair(rows: list[Row]) -> tuple[Row, Row] | None:
    """Return rows (autoregressive, diffusion) at the largest batch × length; among several, those of fewest steps.

    Both are of one experiment and engine.
    """
    shapes: dict[tuple, dict[str, Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["steps"] or 0, reverse=True):
        if row["status"] == "ok" and row["peak_allocated_mb"] is not None:
            shapes[tuple(row[column] for column in SHAPE)][row["family"]] = row
    kinds = ("autoregressive", "masked_diffusion")
    both = [(pair[kinds[0]], pair[kinds[1]]) for pair in shapes.values() if set(kinds) <= pair.keys()]
    return max(both, key=lambda pair: pair[0]["batch"] * pair[0]["new_tokens"], default=None)


def sequence(tables: Rows) -> Iterator[Finding]:
    """Yield the growth exponent of memory with prompt plus output length, per arm at smallest batch and fewest steps.

    An arm without a cache has no exponent of `cache_mb`.
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


def drift(tables: Rows) -> Iterator[Finding]:
    """Yield the trend of the same work's latency over the run.

    Theil-Sen slope of log(relative latency) over time, times the run's span, with its distribution-free interval (Sen
    1968): robust against a few disturbed series.
    """
    rows = [row for row in tables["stability"] if row["relative"] is not None]
    if not rows:
        return
    works = len({row["work"] for row in rows})
    yield finding("stability/works", "stability", rows, works, "kinds of work among them")
    far = max(rows, key=lambda row: abs(math.log(row["relative"])))
    same = [row for row in rows if row["work"] == far["work"]]
    ends = {"low": far["relative_low"], "high": far["relative_high"], "unit": "×", "n": far["n"]}
    words = "the latency farthest from the run's median of the same work"
    yield finding("stability/farthest", "stability", same, far["relative"], words, **ends)
    times: list[Any] = [row["started_s"] for row in rows]
    if None in times or len(set(times)) < 3:
        return
    slope = stats.theilslopes([math.log(row["relative"]) for row in rows], times, LEVEL)
    span = max(times) - min(times)
    value, low, high = (math.exp(span * s) for s in (slope.slope, slope.low_slope, slope.high_slope))
    words = "factor by which the latency of the same work changes from the run's first cell to its last"
    ends = {"low": low, "high": high, "unit": "×", "n": len(rows)}
    yield finding("stability/drift", "stability", rows, value, words, **ends)
    words = "time between the starts of the first and the last of them"
    yield finding("stability/span", "stability", rows, span, words, unit="s", n=len(rows))


def warmup(tables: Rows) -> Iterator[Finding]:
    """Yield per warm-up pass the median over cells of its relative latency, and the pass after which it is settled.

    Latency is relative to the cell's samples. Settled: the 95 % interval of every later pass lies within 1 ± δ, see
    `comparison.equal_within`.
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
    settled = _settled(medians, equal_within(floor))
    if settled is not None:
        words = "warm-up passes after which every pass takes as long as the samples, within the margin of equality"
        yield finding("warmup/settled", "warmup", rows, settled - 1, words, unit="passes", n=len(rows))


def _settled(medians: dict, within: float) -> int | None:
    """Return the first pass from which on all passes lie within the margin; None if the last one does not."""
    first = None
    for number in sorted(medians, reverse=True):
        low, high = medians[number].low, medians[number].high
        if low is None or low < 1 - within or high > 1 + within:
            break
        first = number
    return first


def flood(tables: Rows) -> Iterator[Finding]:
    """Yield three groups of findings on the flood.

    The speedup over each sequential arm paired with it; latency of many roots in parallel over few one by one; and the
    rendering rate modelled for another machine, in proportion to one of its rates (not measured). A ratio of latencies
    from separate processes has the widest interval that both intervals allow.
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
        if few is not None and _is(row, "parallel", MANY) and all(row[c] == few[c] for c in RENDERS):
            words = f"latency of {MANY} roots in parallel / of {FEW} root by root, from separate processes"
            low, high = row["latency_low"] / few["latency_high"], row["latency_high"] / few["latency_low"]
            value, name = row["latency_ms"] / few["latency_ms"], f"flood/more-in-less/k~{row['candidates']}"
            yield finding(name, "flood", [row, few], value, words, low=low, high=high, unit="×")
    best = fastest_flood(done)
    rates = {row["fact"]: row["value"] for row in tables["machine"]}
    for rate, elsewhere, of in card_rates(best["precision"]) if best is not None else ():
        if rates.get(rate):
            factor = elsewhere / rates[rate]
            words = (
                f"modelled, not measured: rendered tokens/s here x {of} of an {CARD.upper()} by its data sheet / the "
                f"same rate measured here (machine, {rate})"
            )
            low, high = (best[f"chunks_per_s_{end}"] * factor for end in ("low", "high"))
            ends = {"low": low, "high": high, "unit": "tokens/s", "n": best["n"]}
            yield finding(
                f"flood_model/{rate}", "flood", [best], best["chunks_per_s"] * factor, words, **ends
            )


def card_rates(precision: str | None) -> list[tuple[str, float, str]]:
    """Return (fact of the machine, the card's rate in its unit, words), for matmuls in the precision measured here."""
    precision = precision or "float32"
    card = CARDS[CARD]
    matmul = card.matmul_flop_s(SIZES[precision]) / 1e9
    return [
        ("copy_gb_per_s", card.bandwidth_gb_s, "memory bandwidth"),
        ("matmul_gflop_per_s", matmul, f"dense {precision} matmul rate"),
    ]


def against_the_flood(row: Row) -> str | None:
    """Return the column that compares a sequential cell with its flood; None for other cells.

    The autoregressive arm fills a different canvas, so its column is the ratio of rates.
    """
    if row["reference_order"] != "parallel" or row["plan"] == "manager":
        return None
    if row["decoder"] == "autoregressive":
        return "throughput_ratio"
    return "ratio" if row["order"] in ("by_root", "by_candidate") else None


def fastest_flood(rows: list[Row]) -> Row | None:
    """Return the plain parallel cell (one candidate, given plan) with the highest rendering rate; None without one."""
    plain = {"status": "ok", "decoder": "flash_flood", "order": "parallel", "plan": "given", "candidates": 1}
    kept = [r for r in rows if r["chunks_per_s_low"] is not None and plain.items() <= r.items()]
    return max(kept, key=lambda row: row["chunks_per_s"], default=None)


RENDERS = ("experiment", "task", "model", "engine")
"""Columns shared by two floods whose latencies are compared."""


def _is(row: Row, order: str, roots: int) -> bool:
    """Return whether `row` is the plain cell of this order and size: given plan, no chunk batch, with an interval."""
    plain = row["decoder"] == "flash_flood" and row["plan"] == "given" and row["chunk_batch"] is None
    return plain and row["order"] == order and row["roots"] == roots and bool(row["latency_low"])


FINDINGS: dict[Callable[[Rows], Iterator[Finding]], tuple[str, ...]] = {
    sizes: (),
    agreement: ("cells",),
    noise: ("noise",),
    memory: ("memory",),
    sequence: ("length",),
    drift: ("stability",),
    warmup: ("warmup", "noise"),
    flood: ("flood", "machine"),
}
"""Functions that yield further findings, and the tables they need."""


def find(tables: Rows) -> list[Finding]:
    """Return every finding that the given tables allow."""
    groups = [group for group, needed in FINDINGS.items() if all(name in tables for name in needed)]
    declared = [one.findings for one in DECLARED if one.table in tables]
    return [item for group in (*declared, *groups) for item in group(tables)]
