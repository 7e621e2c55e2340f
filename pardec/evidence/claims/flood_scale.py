"""Of rendering at scale: growth with the plan, what needs tuning, and other machines (seeds 001 and 002)."""

from __future__ import annotations

from typing import Any

from pardec.evidence.claims.base import (
    CONTRADICTED,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    Judge,
    Judgement,
    Part,
    Piece,
    Values,
    cell,
    listed,
    overall,
    value,
)
from pardec.evidence.claims.flood import PRECISION, best_of, flood, rows
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.findings.flood import FEW, MANY, more_in_less
from pardec.evidence.findings.flood_model import H100, fastest, modelled

NEAR = 0.25
"""An exponent within this distance of one is linear, below it constant: nearer to that than to the other."""
CLAIMED_TIMES = 1.69 / 3.42
"""Time of 200 roots in parallel over that of 50 root by root, as a seed states them."""
CLAIMED_RATE = 25_000
"""The least rate that a seed expects of a GPU, tokens/s."""


def growth(tables: Rows, **wanted: Any) -> list[Row]:
    """Series that have these values, those of fewest candidates first."""
    found = [r for r in tables["flood_growth"] if all(r[name] == value for name, value in wanted.items())]
    return sorted(found, key=lambda row: (row["candidates"] or 0, row["series"]))


def judge_serial(tables: Rows, values: Values) -> Judgement:
    """Looping over roots and chunks: as many passes as expansions, and time linear in the roots.

    reproduced: the 95 % interval of the exponent of latency in roots, root by root, lies within 1 ± 0.25.
    contradicted: it lies wholly outside. Else not testable.
    """
    fits = growth(tables, order="by_root", plan="given")
    if not fits:
        return Judgement(NOT_TESTABLE, reason="sizes: root by root was measured at fewer than two")
    fit, low, high = fits[0], fits[0]["exponent_low"], fits[0]["exponent_high"]
    said: list[Piece] = ["Root by root, time grows with roots to the power ", _exponent(fit)]
    said += [", by ", cell("flood_growth", fit, "slope_ms"), "."]
    if low is None or high is None:
        return Judgement(NOT_TESTABLE, tuple(said), PRECISION)
    if low >= 1 - NEAR and high <= 1 + NEAR:
        return Judgement(REPRODUCED, tuple(said))
    apart = high < 1 - NEAR or low > 1 + NEAR
    return Judgement(CONTRADICTED if apart else NOT_TESTABLE, tuple(said), "" if apart else PRECISION)


def judge_constant(tables: Rows, values: Values) -> Judgement:
    """A batched level takes constant time, up to some size. One candidate; the others and the lookup beside it.

    reproduced: the latency of the largest plan is not shown to exceed that of the smallest, or it is constant over
        two sizes at least before it grows.
    contradicted: it exceeds it at the second size already, and the interval of its exponent lies above 0.25.
    Else not testable.
    """
    fits = growth(tables, order="parallel", plan="given")
    if not fits:
        return Judgement(NOT_TESTABLE, reason="sizes: fewer than two were measured")
    said: list[Piece] = ["Time grows with roots to the power "]
    for place, fit in enumerate(fits):
        said += [
            ", " if place else "",
            _exponent(fit),
            " with ",
            cell("flood_growth", fit, "candidates", False),
        ]
        said += [" (constant up to ", cell("flood_growth", fit, "constant_to", False), ")"]
    for fit in growth(tables, decoder="table_lookup"):
        said += ["; the table lookup's to the power ", _exponent(fit)]
    fit, said = fits[0], [*said, "."]
    if fit["constant_to"] > fit["from_roots"]:
        return Judgement(REPRODUCED, tuple(said))
    if fit["exponent_low"] is not None and fit["exponent_low"] > NEAR:
        return Judgement(CONTRADICTED, tuple(said))
    return Judgement(NOT_TESTABLE, tuple(said), PRECISION)


def _exponent(fit: Row) -> Piece:
    return cell("flood_growth", fit, "exponent")


def judge_tuning(tables: Rows, values: Values) -> Judgement:
    """The best number of expansions in a pass, and of candidates, lies between the ends of what was measured.

    reproduced (expansions in a pass): at the fewest candidates, a setting between the ends is faster than both ends,
        by intervals and noise floor. contradicted: an end is faster than every setting between.
    reproduced (candidates): some number between the ends writes more chunks right than one candidate does, by
        intervals. contradicted: none writes more right.
    Both are needed; one that is contradicted contradicts the claim.
    """
    parts = [part for part in (_passes_part(tables), _candidates_part(tables)) if part]
    verdict, reason = overall(parts, PRECISION)
    said: list[Piece] = []
    best = best_of(surface(tables), "characters_per_s")
    if best is not None:
        said += ["The fastest setting writes ", cell("flood", best, "characters_per_s"), ", with "]
        said += [cell("flood", best, "candidates", False), " and "]
        limit = best["chunk_batch"]
        said += (
            [cell("flood", best, "chunk_batch", False), " in a pass"]
            if limit
            else ["a whole level in a pass"]
        )
    for words, verdict_of in (("between the ends", REPRODUCED), ("at an end", CONTRADICTED)):
        those = [part for part in parts if part.verdict == verdict_of]
        said += [f"; best {words}: ", *listed(those)] if those else []
    return Judgement(verdict, (*said, ".") if said else (), reason, tuple(parts))


def surface(tables: Rows) -> list[Row]:
    """Cells of the surface over candidates and expansions in a pass, at the one size that has it."""
    limited = [row for row in rows(tables, order="parallel", plan="given") if row["chunk_batch"] is not None]
    if not limited:
        return []
    roots = max(row["roots"] for row in limited)
    canvas = {row["new_tokens"] for row in limited if row["roots"] == roots}
    return [
        row
        for row in rows(tables, order="parallel", plan="given", decoder="flash_flood", roots=roots)
        if row["new_tokens"] in canvas
    ]


def _passes_part(tables: Rows) -> Part | None:
    here = surface(tables)
    least = min((row["candidates"] for row in here), default=None)
    # All of a level in one pass is the largest setting.
    here = sorted(
        (row for row in here if row["candidates"] == least),
        key=lambda row: row["chunk_batch"] or float("inf"),
    )
    if len(here) < 3:
        return None
    ends, between = [here[0], here[-1]], here[1:-1]
    best = min(between, key=lambda row: row["latency_ms"])
    verdict = UNDECIDED
    if all(_faster(best, end) for end in ends):
        verdict = REPRODUCED
    elif any(all(_faster(end, row) for row in between) for end in ends):
        verdict = CONTRADICTED
    said: list[Piece] = ["with ", cell("flood", best, "chunk_batch", False), " in a pass ", _latency(best)]
    said += [
        "; with the fewest ",
        _latency(ends[0]),
        ", with a whole level " if ends[1]["chunk_batch"] is None else ", with the most ",
        _latency(ends[1]),
    ]
    return Part("expansions in a pass", verdict, (*said, "."), (_latency(best),))


def _latency(row: Row) -> Piece:
    return cell("flood", row, "latency_ms")


def _faster(one: Row, other: Row) -> bool:
    """Whether one latency lies below another beyond intervals and noise; they are of separate processes."""
    highest = one["latency_high"] if one["latency_high"] is not None else one["latency_ms"]
    lowest = other["latency_low"] if other["latency_low"] is not None else other["latency_ms"]
    return highest * (1 + (one["noise_floor"] or 0.0)) < lowest


def _candidates_part(tables: Rows) -> Part | None:
    scored = [row for row in rows(tables, order="parallel", plan="given") if row["level1"] is not None]
    scored = [row for row in scored if row["chunk_batch"] is None]
    by_size = {row["roots"]: [r for r in scored if r["roots"] == row["roots"]] for row in scored}
    full = [size for size, here in by_size.items() if len({row["candidates"] for row in here}) > 2]
    if not full:
        return None
    here = sorted(by_size[max(full)], key=lambda row: row["candidates"])
    one, between = here[0], here[1:-1]
    best = max(between, key=lambda row: row["level1"])
    verdict = UNDECIDED
    if _end(best, "low") > _end(one, "high"):
        verdict = REPRODUCED
    elif best["level1"] <= one["level1"]:
        verdict = CONTRADICTED
    said = [
        "of the chunks are right ",
        cell("flood", one, "level1"),
        " with ",
        cell("flood", one, "candidates", False),
    ]
    said += [", ", cell("flood", best, "level1"), " with ", cell("flood", best, "candidates", False), "."]
    return Part("candidates", verdict, tuple(said), (cell("flood", best, "level1", False),))


def _end(row: Row, end: str) -> float:
    return row["level1"] if row[f"level1_{end}"] is None else row[f"level1_{end}"]


def judge_more_in_less(tables: Rows, values: Values) -> Judgement:
    """200 roots in parallel take half the time of 50 root by root, with one candidate; more stand beside it.

    reproduced: the ratio's interval lies at 1.69/3.42 or below. contradicted: it lies above. Else not testable.
    """
    found = [k for k in (1, 4, 16) if more_in_less(k) in values]
    if not found:
        return Judgement(
            NOT_TESTABLE, reason="sizes: the two plans that the seed compares were not both measured"
        )
    many = [row for k in found for row in flood(tables, roots=MANY, candidates=k)]
    few = [row for row in rows(tables, order="by_root", plan="given", candidates=1) if row["roots"] == FEW]
    said: list[Piece] = [cell("flood", many[0], "roots", False), " in parallel take "]
    said += [
        _latency(many[0]),
        ", ",
        cell("flood", few[0], "roots", False),
        " root by root ",
        _latency(few[0]),
    ]
    said += ["; a ratio of "]
    for place, k in enumerate(found):
        row = next(row for row in many if row["candidates"] == k)
        said += [
            ", " if place else "",
            value(more_in_less(k)),
            " with ",
            cell("flood", row, "candidates", False),
        ]
    said += ["."]
    low, high = (values[more_in_less(found[0])][f"ci_{end}"] for end in ("low", "high"))
    if high <= CLAIMED_TIMES:
        return Judgement(REPRODUCED, tuple(said))
    apart = low > CLAIMED_TIMES
    return Judgement(CONTRADICTED if apart else NOT_TESTABLE, tuple(said), "" if apart else PRECISION)


def judge_other_machine(tables: Rows, values: Values) -> Judgement:
    """25,000 to 50,000 rendered tokens/s on an H100.

    reproduced: measured on a GPU, the low end of the rate reaches 25,000. contradicted: there its high end does not.
    Without a GPU not testable here; said is then what this machine's rate gives, scaled by the two machines' rates.
    """
    best = fastest(tables["flood"])
    if best is None:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    said: list[Piece] = ["Measured here: ", cell("flood", best, "chunks_per_s")]
    if best["device"] == "cuda":
        said += ["."]
        if best["chunks_per_s_low"] >= CLAIMED_RATE:
            return Judgement(REPRODUCED, tuple(said))
        slow = best["chunks_per_s_high"] < CLAIMED_RATE
        return Judgement(CONTRADICTED if slow else NOT_TESTABLE, tuple(said), "" if slow else PRECISION)
    names = {"copy_gb_per_s": "memory bandwidth", "matmul_gflop_per_s": "matmul rate"}
    known = [rate for rate in H100 if modelled(rate) in values]
    for place, rate in enumerate(known):
        said += [" and " if place else "; modelled, not measured: ", value(modelled(rate), False)]
        said += [f" in step with the {names[rate]}"]
    reason = "hardware: no GPU measured it, and a modelled rate is no evidence of a rate"
    return Judgement(NOT_TESTABLE, (*said, "."), reason)


BOTH = ("flood", "flood_growth")
SERIAL, CONSTANT = Judge(BOTH, judge_serial), Judge(BOTH, judge_constant)
TUNING = Judge(("flood",), judge_tuning)
MORE_IN_LESS = Judge(("flood",), judge_more_in_less)
OTHER_MACHINE = Judge(("flood",), judge_other_machine)
