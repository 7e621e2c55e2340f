"""Of large tables: whether they are right, and what the seed's absolute times are here (seed 000)."""

from __future__ import annotations

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
from pardec.evidence.claims.grid import (
    MOST_PASSES,
    TOKENS,
    finished,
    parallel_rows,
    reference_rows,
    sides,
    verdict_of_all,
)
from pardec.evidence.findings.base import Row, Rows

HARDWARE = "hardware and weights: the claim is of an A100 with a hub model; what is said was measured here"
CLAIMED_SIDE = 64
LARGER = "the larger size that the claim names is not part of this study"


def judge_rate(tables: Rows, values: Values) -> Judgement:
    """About 50 tokens/s, 20 s for 1,000 tokens: on an A100 with GPT-2 Large or Qwen 1.5B.

    not testable here: always, by hardware and weights; the sequential rate of this run is told, at the size nearest
        to 1,000 tokens.
    """
    row = _nearest(reference_rows(tables))
    if row is None:
        return Judgement(NOT_TESTABLE, reason=HARDWARE)
    said = ("here ", cell("grid", row, "canvas_tokens_per_s"), ": ", cell("grid", row, "latency_ms"), " for ")
    return Judgement(NOT_TESTABLE, (*said, cell("grid", row, "new_tokens", False), "."), HARDWARE)


def judge_ten_passes(tables: Rows, values: Values) -> Judgement:
    """Ten passes of about 0.05 s: on the same hardware with the same weights.

    not testable here: always, by hardware and weights; the time of the run's full passes is told.
    """
    row = _nearest([row for row in finished(tables) if row["decoder"] == "full_passes"])
    if row is None:
        return Judgement(NOT_TESTABLE, reason=HARDWARE)
    said: list[Piece] = [
        "here ",
        cell("grid", row, "nfe", False),
        " over ",
        cell("grid", row, "new_tokens", False),
    ]
    return Judgement(NOT_TESTABLE, (*said, " take ", cell("grid", row, "latency_ms"), " in all."), HARDWARE)


def _nearest(rows: list[Row]) -> Row | None:
    return min(rows, key=lambda row: abs(row["new_tokens"] - TOKENS), default=None)


def judge_sizes(tables: Rows, values: Values) -> Judgement:
    """Tables of 64×64 in at most 10 parallel passes: by size, the best cell of a parallel arm.

    reproduced (a size): every output is right to the last cell.
    contradicted (a size): fewer than 99 % of the cells are right.
    undecided (a size): between the two.
    The claim is judged at 64×64; smaller sizes are told. 100×100 is left to a study that has it.
    """
    parts, claimed = [], None
    rows = [
        row for row in parallel_rows(tables) if row["nfe"] <= MOST_PASSES and row["cells_right"] is not None
    ]
    for size in sorted({row["new_tokens"] for row in rows}):
        here = [row for row in rows if row["new_tokens"] == size]
        best = max(here, key=lambda row: (row["grids_right"] or 0.0, row["cells_right"], -row["nfe"]))
        part = Part(
            sides(best), _right([best]), (*_scores(best), ", ", name(best["arm"]), " in ", *_passes(best))
        )
        parts.append(part)
        if best["side"] == CLAIMED_SIDE:
            claimed = part
    if claimed is None:
        return Judgement(NOT_TESTABLE, reason="sizes: the claimed one was not measured", parts=tuple(parts))
    said: list[Piece] = [
        "Right to the last cell: ",
        *listed([p for p in parts if p.verdict == REPRODUCED]),
        ".",
    ]
    if claimed.verdict != REPRODUCED:
        said = ["At ", name(claimed.name), ": ", *claimed.said]
    verdict = NOT_TESTABLE if claimed.verdict == UNDECIDED else claimed.verdict
    reason = "precision: most cells are right, not all" if claimed.verdict == UNDECIDED else LARGER
    return Judgement(verdict, tuple(said), reason, tuple(parts))


def _passes(row: Row) -> tuple[Piece, ...]:
    return (cell("grid", row, "nfe", False), ".")


def _scores(row: Row) -> list[Piece]:
    pieces: list[Piece] = [cell("grid", row, "cells_right"), " of the cells"]
    if row["grids_right"] is not None:
        pieces += [" and ", cell("grid", row, "grids_right"), " of the tables right"]
    return pieces


def _right(rows: list[Row]) -> str:
    if all(row["grids_right"] == 1 for row in rows):
        return REPRODUCED
    return CONTRADICTED if any(not row["right"] for row in rows) else UNDECIDED


def judge_learned(tables: Rows, values: Values) -> Judgement:
    """The constraint is simple enough to be learned: by trained model, its best cell at each size.

    reproduced (a model): every table is right to the last cell at every size measured.
    contradicted (a model): at some size fewer than 99 % of the cells are right.
    undecided (a model): between the two.
    The claim is that it can be learned: one model reproduces it, and it is contradicted where none does.
    """
    scored = [
        row for row in finished(tables) if row["cells_right"] is not None and row["decoder"] != "full_passes"
    ]
    parts = []
    for model in dict.fromkeys(row["model"] for row in scored):
        own = [row for row in scored if row["model"] == model]
        best = [
            max(
                (r for r in own if r["new_tokens"] == size),
                key=lambda r: (r["grids_right"] or 0.0, r["cells_right"]),
            )
            for size in sorted({row["new_tokens"] for row in own})
        ]
        worst = min(best, key=lambda row: (row["grids_right"] or 0.0, row["cells_right"]))
        said = ["at worst, at ", name(sides(worst)), ", ", *_scores(worst), "."]
        parts.append(Part(model, _right(best), tuple(said)))
    verdict, reason = verdict_of_all(parts)
    learned = [part for part in parts if part.verdict == REPRODUCED]
    said = ("Right to the last cell at every size: ", *listed(learned), ".") if learned else ()
    return Judgement(verdict, said, reason, tuple(parts))


RATE, TEN_PASSES, SIZES, LEARNED = (
    Judge(("grid",), function) for function in (judge_rate, judge_ten_passes, judge_sizes, judge_learned)
)
