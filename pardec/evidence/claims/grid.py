"""Of large tables: passes and time against size (seed 000)."""

from __future__ import annotations

from collections.abc import Callable

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
    name,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.tables.grid_growth import FEWEST

NEAR_ONE = 0.25
"""An exponent within this distance of one is linear: nearer to it than to constant or quadratic growth."""
NEAR_ZERO = 0.25
"""The same of constant time."""
MOST_PASSES = 10
"""The passes that the seed allows."""
CLAIMED = (40.0, 100.0)
"""The speedups that the seed claims."""
PRECISION = "precision: no interval tells the two sides apart"
TOKENS = 1024
"""The size, in tokens, whose times the seed states."""


def finished(tables: Rows) -> list[Row]:
    return [row for row in tables["grid"] if row["status"] == "ok" and row["batch"] == 1 and row["nfe"]]


def reference_rows(tables: Rows) -> list[Row]:
    """The sequential reference at each size."""
    rows = [row for row in finished(tables) if row["role"] == "reference"]
    return sorted(rows, key=lambda row: row["new_tokens"])


def parallel_rows(tables: Rows) -> list[Row]:
    return [row for row in finished(tables) if row["decoder"] != "autoregressive"]


def growth(tables: Rows, quantity: str, series: str | None) -> list[Row]:
    return [row for row in tables["grid_growth"] if (row["quantity"], row["series"]) == (quantity, series)]


def sides(row: Row) -> str:
    return f"{row['side']}×{row['side']}" if row["side"] else f"{row['new_tokens']} tokens"


def verdict_of_all(parts: list[Part]) -> tuple[str, str]:
    """A claim that something can be done: reproduced by one part that does it, contradicted where none does."""
    found = {part.verdict for part in parts}
    if REPRODUCED in found:
        return REPRODUCED, ""
    return (CONTRADICTED, "") if found == {CONTRADICTED} else (NOT_TESTABLE, PRECISION)


def judge_sequential(tables: Rows, values: Values) -> Judgement:
    """Autoregression: as many passes as tokens, and time linear in tokens.

    reproduced: at each size the passes equal the tokens, and the 95 % interval of the exponent of time lies within
        1 ± 0.25.
    contradicted: the passes differ, or that interval lies wholly outside.
    """
    rows = reference_rows(tables)
    fits = [row for row in growth(tables, "latency_ms", None) if row["arm"] in {r["arm"] for r in rows}]
    if not rows or not fits:
        return Judgement(NOT_TESTABLE, reason="sizes: fewer than two were measured")
    counted = all(row["nfe"] == row["new_tokens"] for row in rows)
    fit = fits[0]
    verdict = _near(fit, 1.0, NEAR_ONE) if counted else CONTRADICTED
    last = rows[-1]
    said: list[Piece] = [
        cell("grid", last, "nfe", False),
        " for ",
        cell("grid", last, "new_tokens", False),
        "; time grows with tokens to the power ",
        cell("grid_growth", fit, "exponent"),
        ", ",
        cell("grid_growth", fit, "slope_ms"),
        ".",
    ]
    reason = PRECISION if verdict == UNDECIDED else ""
    return Judgement(NOT_TESTABLE if verdict == UNDECIDED else verdict, tuple(said), reason)


def _near(fit: Row, target: float, reach: float) -> str:
    """Where the exponent's interval lies: within `reach` of `target`, outside, or across."""
    low, high = fit["exponent_low"], fit["exponent_high"]
    if low is None or high is None:
        return UNDECIDED
    if target - reach <= low and high <= target + reach:
        return REPRODUCED
    return CONTRADICTED if high < target - reach or low > target + reach else UNDECIDED


def judge_passes(tables: Rows, values: Values) -> Judgement:
    """Parallel refinement: 5 to 10 passes whatever the size, at full correctness. By parallel arm.

    reproduced (an arm): at every size measured it has a cell of at most 10 passes whose tables are right.
    contradicted (an arm): at some size its tables are right only with more, or not at all.
    The claim is that it can be done: one arm reproduces it, and it is contradicted where no arm does.
    """
    parts = [_arm_passes(tables, arm) for arm in _arms(parallel_rows(tables))]
    verdict, reason = verdict_of_all(parts)
    return Judgement(
        verdict, _told(parts, "right within the passes allowed at every size"), reason, tuple(parts)
    )


def _arms(rows: list[Row]) -> list[str]:
    """Arms measured at two sizes or more, in order of appearance."""
    found = dict.fromkeys(row["arm"] for row in rows)
    return [arm for arm in found if len({r["new_tokens"] for r in rows if r["arm"] == arm}) > 1]


def _told(parts: list[Part], words: str) -> tuple[Piece, ...]:
    holds = [part for part in parts if part.verdict == REPRODUCED]
    rest = [part for part in parts if part.verdict == CONTRADICTED]
    said: list[Piece] = [f"{words[0].upper()}{words[1:]}: ", *listed(holds)] if holds else []
    if rest:
        said += ["; not: " if holds else f"Not {words}: ", *listed(rest)]
    return (*said, ".") if said else ()


def _arm_passes(tables: Rows, arm: str) -> Part:
    rows = [row for row in parallel_rows(tables) if row["arm"] == arm]
    sizes = sorted({row["new_tokens"] for row in rows})
    best = {
        size: min(
            (row for row in rows if row["new_tokens"] == size and row["right"]),
            key=lambda r: r["nfe"],
            default=None,
        )
        for size in sizes
    }
    quick = all(row is not None and row["nfe"] <= MOST_PASSES for row in best.values())
    said: list[Piece] = []
    for size, row in best.items():
        said += ["; " if said else "", name(sides(next(r for r in rows if r["new_tokens"] == size))), ": "]
        said += ["not right"] if row is None else [cell("grid", row, "nfe", False)]
    return Part(arm, REPRODUCED if quick else CONTRADICTED, (*said, "."))


def judge_speed(tables: Rows, values: Values) -> Judgement:
    """40 to 100 times faster: by size, the fastest parallel cell whose tables are right.

    reproduced (a size): the 95 % interval of its speed ratio reaches 40 at least.
    contradicted (a size): it lies wholly below.
    The claim is contradicted by one size that contradicts it.
    """
    parts = []
    for size in sorted({row["new_tokens"] for row in parallel_rows(tables)}):
        rows = [r for r in parallel_rows(tables) if r["new_tokens"] == size and r["ratio"] and r["right"]]
        if rows:
            best = max(rows, key=lambda row: row["ratio"])
            verdict = REPRODUCED if best["ratio_high"] >= CLAIMED[0] else CONTRADICTED
            said = (
                cell("grid", best, "ratio"),
                " with ",
                name(best["arm"]),
                " in ",
                cell("grid", best, "nfe", False),
                ".",
            )
            parts.append(Part(sides(best), verdict, said, (cell("grid", best, "ratio", False),)))
    if not parts:
        return Judgement(NOT_TESTABLE, reason="quality: no parallel decoder writes right tables")
    found = {part.verdict for part in parts}
    said = ["The fastest decoder that is right: ", *listed(parts), " the autoregressive speed"]
    return Judgement(
        CONTRADICTED if CONTRADICTED in found else REPRODUCED,
        (*said, *_literal(tables), "."),
        "",
        tuple(parts),
    )


def _literal(tables: Rows) -> list[Piece]:
    """What the seed's own comparison gives: full passes, whose tables need not be right."""
    rows = [row for row in parallel_rows(tables) if row["decoder"] == "full_passes" and row["ratio"]]
    near = min(rows, key=lambda row: abs(row["new_tokens"] - TOKENS), default=None)
    if near is None:
        return []
    pieces: list[Piece] = ["; ", cell("grid", near, "passes_set", False), " full passes over "]
    pieces += [cell("grid", near, "new_tokens", False), ", timing only: ", cell("grid", near, "ratio")]
    if near["cells_right"] is not None:
        pieces += [", with ", cell("grid", near, "cells_right"), " of the cells right"]
    return pieces


def judge_time(tables: Rows, values: Values) -> Judgement:
    """The flood's time is a step function of tokens: constant in them. By parallel arm, at its fewest right passes.

    reproduced (an arm): at no size its time is shown to exceed that of the smallest.
    contradicted (an arm): it is at the largest, and the interval of the exponent of time lies above 0.25.
    undecided (an arm): anything else.
    """
    fits = {
        row["arm"]: row for row in growth(tables, "latency_ms", FEWEST) if row["decoder"] != "autoregressive"
    }
    parts = [_constant(fit) for fit in fits.values()]
    if not parts:
        return Judgement(NOT_TESTABLE, reason="quality: no parallel decoder is right at two sizes")
    verdict, reason = verdict_of_all(parts)
    return Judgement(verdict, _told(parts, "constant in time"), reason, tuple(parts))


def _constant(fit: Row) -> Part:
    verdict = UNDECIDED
    if fit["constant_throughout"]:
        verdict = REPRODUCED
    elif fit["exponent_low"] is not None and fit["exponent_low"] > NEAR_ZERO:
        verdict = CONTRADICTED
    said = ["time grows with tokens to the power ", cell("grid_growth", fit, "exponent")]
    said += ["; it is constant up to ", cell("grid_growth", fit, "constant_to", False), "."]
    return Part(fit["arm"], verdict, tuple(said), (cell("grid_growth", fit, "exponent", False),))


NEEDS = ("grid", "grid_growth")


def _judge(function: Callable[[Rows, Values], Judgement]) -> Judge:
    return Judge(NEEDS, function)


SEQUENTIAL, PASSES, SPEED, TIME = map(_judge, (judge_sequential, judge_passes, judge_speed, judge_time))
