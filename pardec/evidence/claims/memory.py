"""Of memory: how the cache, and what diffusion holds instead, grow with length."""

from __future__ import annotations

from pardec.evidence.claims.base import (
    CONTRADICTED,
    REPRODUCED,
    UNDECIDED,
    Judge,
    Judgement,
    Part,
    Piece,
    Values,
    overall,
    value,
)
from pardec.evidence.findings.base import Rows
from pardec.evidence.findings.sequence import PREFIX

TOLERANCE = 0.1
"""An exponent this close to one is linear; quadratic growth would be near two."""
PRECISION = "precision: the exponent's interval allows linear and other growth"
HALF = (
    "engine: nothing runs without a fused attention kernel, so the quadratic half of the claim is not tested"
)


def judge(tables: Rows, values: Values) -> Judgement:
    """The autoregressive cache grows linearly with the sequence (prompt and output); diffusion's memory as told.

    reproduced: the 95 % interval of the cache's exponent lies within 1 ± 0.1.
    contradicted: it lies wholly outside.
    undecided: it reaches across an end, or has no interval (fewer than three lengths).
    The half about attention without a fused kernel is not tested: reason says so. How diffusion's memory grows is
    a question: the exponent of its memory beyond weights answers it and has no part in the verdict.
    """
    caches = [ident for ident in values if ident.startswith(f"{PREFIX}/cache_mb/")]
    parts = [_cache(ident, values) for ident in caches]
    verdict, reason = overall(parts, PRECISION)
    working = [ident for ident in values if ident.startswith(f"{PREFIX}/working_mb/")]
    said: list[Piece] = []
    for ident in working:
        said += [
            "; " if said else "Memory beyond weights grows with the sequence to the power ",
            value(ident),
            " (",
            {"name": _name(ident)},
            ")",
        ]
    return Judgement(verdict, (*said, ".") if said else (), reason or (HALF if parts else ""), tuple(parts))


def _name(ident: str) -> str:
    """The arm and its task, from a value's id."""
    task, _, arm = ident.split("/", 3)[3].partition("/")
    return f"{arm} on {task}"


def _cache(ident: str, values: Values) -> Part:
    low, high = values[ident]["ci_low"], values[ident]["ci_high"]
    verdict = UNDECIDED
    if low is not None and high is not None:
        if low >= 1 - TOLERANCE and high <= 1 + TOLERANCE:
            verdict = REPRODUCED
        elif high < 1 - TOLERANCE or low > 1 + TOLERANCE:
            verdict = CONTRADICTED
    return Part(_name(ident), verdict, ("the cache grows with the sequence to the power ", value(ident), "."))


JUDGE = Judge(("length",), judge)
