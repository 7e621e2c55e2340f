"""Of prompts: does it matter for time and memory whether they are real text?"""

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
    overall,
    tally,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.tables.noise import margin

MEMORY = 0.01
"""Peaks that differ by less than this share are the same."""
PRECISION = "precision: the ratio's interval reaches beyond the margin of equality"


def judge(tables: Rows, values: Values) -> Judgement:
    """Random tokens in place of real prompts, of the same lengths, change latency or peak memory: by arm.

    Each cell of random prompts is paired in one process with the same arm on real ones; δ = max(3 %, noise floor).

    reproduced (an arm): the latency ratio's interval lies beyond 1 ± δ, or peak memory differs by 1 % or more.
    contradicted (an arm): the ratio's interval lies within 1 ± δ, and peak memory differs by less than 1 %.
    undecided (an arm): the interval reaches across, or no noise floor was measured.
    The claim says that it matters for some arm: one such arm reproduces it; with none, it is contradicted where no arm
    is undecided, and else not testable here.
    """
    rows = tables["prompts"]
    real = {_same(row): row for row in rows if not row["random_prompts"]}
    parts = [_arm(row, real.get(_same(row))) for row in rows if row["random_prompts"]]
    parts = [part for part in parts if part is not None]
    found = {part.verdict for part in parts}
    said = tally(
        parts,
        "random prompts change time or peak memory on",
        "random prompts change neither time nor peak memory on",
        "it stays open on",
    )
    if REPRODUCED in found:
        return Judgement(REPRODUCED, said, "", tuple(parts))
    if UNDECIDED in found:
        return Judgement(NOT_TESTABLE, said, PRECISION, tuple(parts))
    verdict, reason = overall(parts, PRECISION)
    return Judgement(verdict, said, reason, tuple(parts))


def _same(row: Row) -> tuple:
    return tuple(
        row[c] for c in ("task", "model", "arm", "steps", "settings", "batch", "prompt_tokens", "new_tokens")
    )


def _arm(row: Row, real: Row | None) -> Part | None:
    if row["ratio_low"] is None:
        return None
    steps = "" if row["steps"] is None else f" (steps={row['steps']})"
    said: list[Piece] = ["with random tokens ", cell("prompts", row, "ratio"), " the speed with real text"]
    apart = None
    if real is not None and row["peak_allocated_mb"] is not None and real["peak_allocated_mb"] is not None:
        apart = abs(row["peak_allocated_mb"] / real["peak_allocated_mb"] - 1) >= MEMORY
        said += [
            ", and a peak of ",
            cell("prompts", row, "peak_allocated_mb"),
            " against ",
            cell("prompts", real, "peak_allocated_mb"),
        ]
    return Part(f"{row['arm']}{steps} on {row['task']}", _verdict(row, apart), (*said, "."))


def _verdict(row: Row, memory_apart: bool | None) -> str:
    floor = row["noise_floor"]
    if memory_apart:
        return REPRODUCED
    if floor is None:
        return UNDECIDED
    delta = margin(floor)
    low, high = row["ratio_low"], row["ratio_high"]
    if low > 1 + delta or high < 1 - delta:
        return REPRODUCED
    return CONTRADICTED if low >= 1 - delta and high <= 1 + delta and memory_apart is False else UNDECIDED


JUDGE = Judge(("prompts",), judge)
