"""Of rendering a plan in parallel: steps, speed, growth, shares and candidates (seeds 001 and 002)."""

from __future__ import annotations

from collections.abc import Callable
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
    value,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.findings.flood import against_the_flood, times_faster

PRECISION = "precision: the interval allows both, or nothing was measured to compare"
ALL_RIGHT = "quality: one candidate writes every chunk right already, so none can be better"
RATE = 10_000
SPEEDUP = {"steps": 50, "render": 60, "end_to_end": 15}
"""Speedups that the seeds claim: of the plan at 20 roots, of rendering at 200, and end to end."""
CLAIMED_SHARES = {"manager_share": 0.46, "render_share": 0.23, "overhead_share": 0.30}
"""Shares of the time end to end that a seed measured."""
REACH = 0.10
"""A share within ten points of the claimed one is that share."""
PLANNED = 20
"""Roots of the plan whose steps a seed counts."""


def rows(tables: Rows, **wanted: Any) -> list[Row]:
    """Finished cells that have these values."""
    return [
        row
        for row in tables["flood"]
        if row["status"] == "ok" and all(row[name] == value for name, value in wanted.items())
    ]


def flood(tables: Rows, **wanted: Any) -> list[Row]:
    """Cells of the parallel order, whole levels in a pass, given plans, one candidate; small plans first."""
    plain = {
        "order": "parallel",
        "decoder": "flash_flood",
        "plan": "given",
        "chunk_batch": None,
        "candidates": 1,
    }
    return sorted(rows(tables, **{**plain, **wanted}), key=lambda row: row["roots"])


def best_of(found: list[Row], column: str) -> Row | None:
    """The row with most of `column`."""
    return max((row for row in found if row[column] is not None), key=lambda row: row[column], default=None)


def judge_rate(tables: Rows, values: Values) -> Judgement:
    """More than 10,000 rendered tokens (chunks) a second, at the size that renders fastest.

    reproduced: the low end of the rate lies above it. contradicted: the high end lies below. Else not testable.
    """
    found = [row for row in flood(tables) if row["chunks_per_s_low"] is not None]
    if not found:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    best = max(found, key=lambda row: row["chunks_per_s"])
    said = ("The fastest plan renders ", cell("flood", best, "chunks_per_s"), " and writes ")
    said += (cell("flood", best, "characters_per_s"), ", at ", cell("flood", best, "roots"), ".")
    return _against(best["chunks_per_s_low"], best["chunks_per_s_high"], RATE, said)


def judge_steps(tables: Rows, values: Values) -> Judgement:
    """Two passes for 20 roots in parallel, whatever the plan; one by one, as many as roots and chunks.

    reproduced: the parallel order makes two passes at every size. contradicted: it makes more.
    """
    found = flood(tables)
    if not found:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    said: list[Piece] = ["The flood makes "]
    for place, row in enumerate(found):
        said += [", " if place else "", cell("flood", row, "nfe"), " for ", cell("flood", row, "roots")]
        said += [" and ", cell("flood", row, "chunks")]
    return Judgement(REPRODUCED if all(row["nfe"] == 2 for row in found) else CONTRADICTED, (*said, "."))


def judge_plan_speed(tables: Rows, values: Values) -> Judgement:
    """At 20 roots: the flood is 50 times as fast, by each meaning of sequential: root by root with one candidate (whose
    steps the seed counts), root by root and candidate by candidate with several, characters one by one.

    reproduced (a meaning): the low end of the interval reaches 50. contradicted: its high end does not.
    The claim is judged by the seed's own count, root by root with one candidate; the others stand beside it.
    """
    parts = []
    own = [
        r
        for r in flood(tables, roots=PLANNED)
        if r["ratio_low"] is not None and r["reference_order"] == "by_root"
    ]
    if own:
        parts.append(
            _meaning(
                "root by root", own[0]["ratio_low"], own[0]["ratio_high"], cell("flood", own[0], "ratio")
            )
        )
    for row in rows(tables):
        ident = times_faster(row)
        if against_the_flood(row) and ident in values and row["prompt_tokens"] == PLANNED:
            words = {"by_root": "root by root with more candidates", "by_candidate": "candidate by candidate"}
            name = words.get(row["order"], "characters one by one")
            low, high = (values[ident][f"ci_{end}"] for end in ("low", "high"))
            parts.append(_meaning(name, low, high, value(ident)))
    if not own:
        return Judgement(NOT_TESTABLE, reason=PRECISION, parts=tuple(parts))
    said = ("At ", cell("flood", own[0], "roots", False), " the flood is faster by: ", *listed(parts), ".")
    verdict = parts[0].verdict
    return Judgement(
        NOT_TESTABLE if verdict == UNDECIDED else verdict,
        said,
        PRECISION if verdict == UNDECIDED else "",
        tuple(parts),
    )


def _meaning(name: str, low: float, high: float, piece: Piece) -> Part:
    claimed = SPEEDUP["steps"]
    verdict = REPRODUCED if low >= claimed else CONTRADICTED if high < claimed else UNDECIDED
    return Part(name, verdict, ("against it the flood is ", piece, " as fast."), (piece,))


def judge_render_speed(tables: Rows, values: Values) -> Judgement:
    """At 200 roots: the speed ratio against root by root reaches 60.

    reproduced: the low end of the interval does. contradicted: its high end does not. Else not testable.
    """
    return _speed(flood(tables, roots=200), SPEEDUP["render"])


def judge_end_to_end(tables: Rows, values: Values) -> Judgement:
    """With the manager: the speed ratio against manager and root by root reaches 15.

    reproduced: the low end of the interval does. contradicted: its high end does not. Else not testable.
    """
    return _speed(end_to_end(tables), SPEEDUP["end_to_end"])


def end_to_end(tables: Rows, manager: str = "autoregressive") -> list[Row]:
    """Cells in which the manager plans; small plans first."""
    return flood(tables, plan="manager", manager=manager)


def _speed(found: list[Row], claimed: float) -> Judgement:
    found = [row for row in found if row["ratio_low"] is not None and row["reference_order"] == "by_root"]
    if not found:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    row = found[-1]
    said = ("At ", cell("flood", row, "roots"), " the speed ratio is ", cell("flood", row, "ratio"), ".")
    return _against(row["ratio_low"], row["ratio_high"], claimed, said)


def _against(low: float, high: float, claimed: float, said: tuple[Piece, ...]) -> Judgement:
    if low >= claimed:
        return Judgement(REPRODUCED, said)
    return Judgement(CONTRADICTED, said) if high < claimed else Judgement(NOT_TESTABLE, said, PRECISION)


def judge_candidates(tables: Rows, values: Values) -> Judgement:
    """More candidates write more chunks right: level 1 at the most candidates against one, over the same prompts.

    reproduced: its interval at most candidates lies above that at one. contradicted: its value is no higher. not
    testable here: one candidate writes every chunk right already, so that none can be better.
    """
    scored = [row for k in (1, 4, 16) for row in flood(tables, candidates=k) if row["level1"] is not None]
    sizes = {row["roots"] for row in scored if row["candidates"] > 1}
    if not sizes:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    here = sorted((row for row in scored if row["roots"] == max(sizes)), key=lambda row: row["candidates"])
    said: list[Piece] = ["At ", cell("flood", here[0], "roots"), ", of the chunks are right: "]
    for place, row in enumerate(here):
        said += [
            ", " if place else "",
            cell("flood", row, "level1"),
            " with ",
            cell("flood", row, "candidates"),
        ]
    one, most = here[0], here[-1]
    if (most["level1_low"] or 0) > (one["level1_high"] or 1):
        return Judgement(REPRODUCED, (*said, "."))
    if one["level1"] >= 1:
        return Judgement(NOT_TESTABLE, (*said, "."), ALL_RIGHT)
    verdict = CONTRADICTED if most["level1"] <= one["level1"] else NOT_TESTABLE
    return Judgement(verdict, (*said, "."), PRECISION if verdict == NOT_TESTABLE else "")


def judge_bottleneck(tables: Rows, values: Values) -> Judgement:
    """End to end, the manager's share of the latency is the largest; beside it a manager that decodes by Jacobi.

    reproduced: its mean is. contradicted: that of another phase is.
    """
    found = end_to_end(tables)
    if not found:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    names = ("manager_share", "level0_share", "level1_share", "transfer_share", "other_share")
    said: list[Piece] = ["Manager "]
    words = ("", ", roots to chunks ", ", chunks to characters ", ", transfer ", ", the rest ")
    for word, column in zip(words, names, strict=True):
        said += [word, cell("flood", found[-1], column)]
    largest = max(names, key=lambda column: found[-1][column])
    said += [" of the latency", *_jacobi(tables), "."]
    return Judgement(REPRODUCED if largest == "manager_share" else CONTRADICTED, tuple(said))


def _jacobi(tables: Rows) -> list[Piece]:
    """Whether guessing the plan's roots in parallel relieves the manager; the roots are the same."""
    found = [row for row in end_to_end(tables, "jacobi") if row["verdict"]]
    if not found:
        return []
    row = found[-1]
    words = {"faster": "is faster", "slower": "is slower"}.get(row["verdict"], "makes no difference shown")
    said: list[Piece] = [
        f"; the same plan by Jacobi decoding {words}, a speed ratio of ",
        cell("flood", row, "ratio"),
    ]
    said += [" with ", cell("flood", row, "manager_passes", False), " of the manager"]
    own = [r for r in end_to_end(tables) if r["roots"] == row["roots"]]
    return [*said, " instead of ", cell("flood", own[0], "manager_passes", False)] if own else said


def judge_shares(tables: Rows, values: Values) -> Judgement:
    """End to end, of the time the manager takes 46 %, rendering 23 % and overhead 30 %. By share.

    reproduced (a share): it lies within ten points of that. contradicted: it does not.
    The claim holds where all three do.
    """
    found = end_to_end(tables)
    if not found or found[-1]["manager_share"] is None:
        return Judgement(NOT_TESTABLE, reason=PRECISION)
    row, names = (
        found[-1],
        {"manager_share": "manager", "render_share": "rendering", "overhead_share": "overhead"},
    )
    parts = []
    for column, claimed in CLAIMED_SHARES.items():
        close = abs(row[column] - claimed) <= REACH
        piece = cell("flood", row, column)
        parts.append(
            Part(names[column], REPRODUCED if close else CONTRADICTED, (piece, " of the latency."), (piece,))
        )
    held = all(part.verdict == REPRODUCED for part in parts)
    said = ("At ", cell("flood", row, "roots", False), ", of the latency: ", *listed(parts), ".")
    return Judgement(REPRODUCED if held else CONTRADICTED, said, parts=tuple(parts))


def _judge(function: Callable[[Rows, Values], Judgement]) -> Judge:
    return Judge(("flood",), function)


RATE_JUDGE = _judge(judge_rate)
STEPS = _judge(judge_steps)
PLAN_SPEED = _judge(judge_plan_speed)
RENDER_SPEED = _judge(judge_render_speed)
END_TO_END = _judge(judge_end_to_end)
CANDIDATES = _judge(judge_candidates)
BOTTLENECK = _judge(judge_bottleneck)
SHARES = _judge(judge_shares)
