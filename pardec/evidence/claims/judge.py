"""All claims judged: the content of claims.json."""

from __future__ import annotations

import re
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.claims.base import NOT_RUN, Claim, Judge, Judgement, Piece, Values
from pardec.evidence.claims.registry import CLAIMS, JUDGES, SEEDS
from pardec.evidence.findings.base import Rows
from pardec.evidence.rounding import rounded, unit_words


def judge_all(tables: Rows, values: Values) -> dict[str, Any]:
    """Every claim in the order of the registry, with its verdict.

    tables: rows by table name; a missing or empty one means that its experiment was not run. values: published
    values.

    Returns {"seeds": {seed: title}, "claims": [claim]}, a claim being {id, seed, statement, expected, free, verdict,
    measured, reason, evidence: [value id], intervals: {value id: [value, low, high]}, said, parts: [{name, verdict,
    measured, said}]}. `said` is the measured sentence in pieces that name their values, `measured` the same with the
    values filled in.

    Raises:
        UserError: a judge names a value that is not published.
    """
    return {"seeds": SEEDS, "claims": [_judged(claim, tables, values) for claim in CLAIMS]}


def _judged(claim: Claim, tables: Rows, values: Values) -> dict[str, Any]:
    judgement = judge(claim, tables, values)
    lost = [ident for ident in judgement.evidence if ident not in values]
    if lost:
        raise UserError(
            f"claim {claim.id}", f"rests on {lost[0]!r}, which is no value", "collect the values again"
        )
    return {
        "id": claim.id,
        "seed": claim.seed,
        "statement": claim.statement,
        "expected": claim.expected,
        "free": claim.free or None,
        "verdict": judgement.verdict,
        "measured": text_of(judgement.said, values) or None,
        "reason": judgement.reason or None,
        "evidence": list(judgement.evidence),
        "intervals": {
            ident: [values[ident][end] for end in ("value", "ci_low", "ci_high")]
            for ident in judgement.evidence
        },
        "said": list(judgement.said),
        "parts": [
            {
                "name": part.name,
                "verdict": part.verdict,
                "measured": text_of(part.said, values),
                "said": list(part.said),
            }
            for part in judgement.parts
        ],
    }


def judge(claim: Claim, tables: Rows, values: Values) -> Judgement:
    """What the evidence says of one claim; `not run yet` without a judge, or without its experiment."""
    if claim.judge is None:
        return Judgement(NOT_RUN, reason=f"waits for {claim.waits}")
    judge: Judge = JUDGES.load(claim.judge)
    if not all(tables.get(name) for name in judge.needs):
        return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study has none")
    judgement = judge.judge(tables, values)
    if not judgement.parts and not judgement.said and not judgement.reason:
        return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study compares nothing there")
    return judgement


def text_of(said: tuple[Piece, ...], values: Values) -> str:
    """A sentence with its values filled in as they are published."""
    words = [piece if isinstance(piece, str) else _piece(piece, values) for piece in said]
    return re.sub(r"\s+", " ", "".join(words)).strip()


def _piece(piece: dict[str, Any], values: Values) -> str:
    if "name" in piece:
        return piece["name"]
    entry = values[piece["value"]]
    if entry["value"] is None:
        return "–"
    unit = unit_words(entry.get("unit") or "", entry["value"])
    text, low, high = rounded(entry["value"], entry.get("ci_low"), entry.get("ci_high"))
    shown = f"{text}{'' if unit in ('', '×') else ' '}{unit}"
    return shown if low is None or not piece["interval"] else f"{shown} [{low}, {high}]"
