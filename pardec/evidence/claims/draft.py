"""Of drafting: what seed 003 says of its ten ideas.

Times on an A100 with models of eight billion parameters are not testable here; orders, ratios and causes are. All
judges read table `ideas`, in which each arm is held against another in pairs of one process. An arm that is not
lossless, or of which too few prompts were timed for an interval, decides nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from pardec.evidence.claims.base import (
    CONTRADICTED,
    NOT_RUN,
    NOT_TESTABLE,
    REPRODUCED,
    UNDECIDED,
    Judge,
    Judgement,
    Part,
    Piece,
    Values,
    cell,
    name,
    overall,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.ideas.base import BASELINE
from pardec.evidence.tables.draft import ALL

PRECISION = "precision: the intervals allow both"
FEW_PROMPTS = "precision: too few prompts were timed without a flag for an interval"
WRONG = "quality: the arm did not write the target's tokens"
HALF = "study: it does not time both rivals that the claim names"
SCALE = "hardware and weights: the times are of an A100 and a target of eight billion parameters"
TREES = ("tree", "tree-candidates", "tree-wide")
COLLAPSE = 0.5
"""A refinement that leaves less than this share of tau has collapsed; the seed saw about a seventh."""


def _row(tables: Rows, arm: str) -> Row | None:
    """The row of an arm that was run and wrote the target's tokens."""
    found = next(
        (row for row in tables.get("ideas", ()) if row["arm"] == arm and row["ratio_low"] is not None), None
    )
    return None if found is None or found["lossless"] is False else found


def _undecided(tables: Rows, *arms: str) -> Judgement:
    """Why none of these arms can be judged: not run, not lossless, or without an interval."""
    rows = [row for row in tables.get("ideas", ()) if row["arm"] in arms and row.get("prompts")]
    if not rows:
        return Judgement(NOT_RUN)
    wrong = any(row["lossless"] is False for row in rows)
    return Judgement(NOT_TESTABLE, reason=WRONG if wrong else FEW_PROMPTS)


def _says(row: Row) -> list[Piece]:
    """An arm's throughput and tau against what it is held against."""
    said: list[Piece] = [cell("ideas", row, "ratio"), " of the throughput"]
    if row["tau_ratio"] is not None:
        said += [" at ", cell("ideas", row, "tau_ratio"), " of tau"]
    return said


def _part(row: Row, words: str, verdict: str) -> Part:
    short = (cell("ideas", row, "ratio", False),)
    return Part(words, verdict, (name(words), ": ", *_says(row), "."), short)


def _two(tables: Rows, first: str, second: str, rule: Callable[[Row, Row], str]) -> Judgement:
    """A claim about two arms that are held against the same third one."""
    one, other = _row(tables, first), _row(tables, second)
    if one is None or other is None:
        return _undecided(tables, *(arm for arm, row in ((first, one), (second, other)) if row is None))
    verdict = rule(one, other)
    said = (name(first), " has ", *_says(one), "; ", name(second), " has ", *_says(other), ".")
    return _judgement(verdict, said)


def _settled(verdict: str) -> tuple[str, str]:
    return (NOT_TESTABLE, PRECISION) if verdict == UNDECIDED else (verdict, "")


def _judgement(verdict: str, said: tuple[Piece, ...], parts: tuple[Part, ...] = ()) -> Judgement:
    settled, reason = _settled(verdict)
    return Judgement(settled, said, reason, parts)


def _one(tables: Rows, arm: str, rule: Callable[[Row], str]) -> Judgement:
    row = _row(tables, arm)
    if row is None:
        return _undecided(tables, arm)
    return _judgement(rule(row), (name(arm), " has ", *_says(row), "."))


def fixed(tables: Rows, values: Values) -> Judgement:
    """A fixed block's tau, TPOT and speedup: not testable here, where machine and models are others; ours are said."""
    rows = [
        row for row in tables.get("draft", ()) if row["arm"] in (BASELINE, "draft-16") and row["task"] == ALL
    ]
    rows = [row for row in rows if row["ratio_ar"] is not None]
    said: list[Piece] = []
    for row in rows:
        said += ["; " if said else "", name(row["arm"]), " here commits ", cell("draft", row, "tau")]
        said += [" a verification at "]
        said += [cell("draft", row, "ratio_ar"), " of sequential throughput"]
    return Judgement(NOT_TESTABLE, (*said, "."), SCALE) if said else Judgement(NOT_RUN)


def seeding(tables: Rows, values: Values) -> Judgement:
    """No recycling is faster than sparse, sparse faster than dense.

    reproduced: the interval of sparse lies below one and that of dense below that of sparse. contradicted: one of the
    two orders is shown the other way round.
    """

    def rule(sparse: Row, dense: Row) -> str:
        if sparse["ratio_high"] < 1 and dense["ratio_high"] < sparse["ratio_low"]:
            return REPRODUCED
        turned = sparse["ratio_low"] > 1 or dense["ratio_low"] > sparse["ratio_high"]
        return CONTRADICTED if turned else UNDECIDED

    return _two(tables, "seed-sparse", "seed-dense", rule)


def collapse(tables: Rows, values: Values) -> Judgement:
    """Two draft steps collapse tau with the draft's cache on.

    reproduced: the interval of the tau ratio lies below `COLLAPSE`. contradicted: above it.
    """

    def rule(row: Row) -> str:
        if row["tau_ratio_high"] is None:
            return UNDECIDED
        if row["tau_ratio_high"] < COLLAPSE:
            return REPRODUCED
        return CONTRADICTED if row["tau_ratio_low"] > COLLAPSE else UNDECIDED

    return _one(tables, "refine-full", rule)


def cause(tables: Rows, values: Values) -> Judgement:
    """The collapse comes from conditioning on the draft's own guesses.

    contradicted: without the draft's cache tau collapses and with it it does not, so that the lost cache is the cause.
    reproduced: it collapses with the cache too.
    """

    def rule(cached: Row, bare: Row) -> str:
        if cached["tau_ratio_high"] is None or bare["tau_ratio_high"] is None:
            return UNDECIDED
        if cached["tau_ratio_high"] < COLLAPSE:
            return REPRODUCED
        restored = bare["tau_ratio_high"] < cached["tau_ratio_low"] and cached["tau_ratio_low"] > COLLAPSE
        return CONTRADICTED if restored and bare["tau_ratio_high"] < COLLAPSE else UNDECIDED

    return _two(tables, "refine-full", "refine-no-cache", rule)


def _gains(row: Row) -> str:
    """reproduced: validated as faster. contradicted: shown slower or no different, or the interval of both runs allows
    no gain beyond what counts as no difference; to say that much it need not show a loss."""
    known = {"validated": REPRODUCED, "rejected": CONTRADICTED, "equivalent": CONTRADICTED}
    if row["speed_status"] == "inconclusive" and row["control"] and not row["fell_back"]:
        return CONTRADICTED if row["ratio_high"] < 1 + row["margin"] else UNDECIDED
    return known.get(row["speed_status"], UNDECIDED)


def ewma(tables: Rows, values: Values) -> Judgement:
    """The running score chooses better than the best fixed block, which tuning prompts chose.

    reproduced: validated as faster. contradicted: no faster, see `_gains`.
    """
    return _one(tables, "ewma", _gains)


def break_even(tables: Rows, values: Values) -> Judgement:
    """Break-even is faster than EWMA and than a threshold on tau; all three are held against the best fixed block.

    reproduced: its interval lies above both others. contradicted: below one of them.
    """
    own, others = _row(tables, "break-even"), [_row(tables, "ewma"), _row(tables, "threshold")]
    known = [row for row in others if row is not None]
    if own is None or not known:
        return _undecided(tables, *(("break-even",) if own is None else ("ewma", "threshold")))
    verdict = UNDECIDED
    if len(known) == len(others) and all(own["ratio_low"] > row["ratio_high"] for row in known):
        verdict = REPRODUCED
    if any(own["ratio_high"] < row["ratio_low"] for row in known):
        verdict = CONTRADICTED
    said: list[Piece] = [name(own["arm"]), " has ", *_says(own)]
    for row in known:
        said += ["; ", name(row["arm"]), " has ", *_says(row)]
    if verdict == UNDECIDED and len(known) < len(others):
        return Judgement(NOT_TESTABLE, (*said, "."), HALF)
    return _judgement(verdict, (*said, "."))


def multi_round(tables: Rows, values: Values) -> Judgement:
    """Exact multi-round sampling gains no throughput, all rounds verified in one pass.

    reproduced: no faster, see `_gains`. contradicted: validated as faster. That it is exact is a test of the test
    suite, on a law small enough to be written out.
    """
    turned = {REPRODUCED: CONTRADICTED, CONTRADICTED: REPRODUCED}
    return _one(tables, "multi-round", lambda row: turned.get(_gains(row), UNDECIDED))


def diversity(tables: Rows, values: Values) -> Judgement:
    """Some more diverse source of candidates accepts more than one distribution's own.

    reproduced: of one source the interval of the tau ratio lies above one. contradicted: of none, and each is shown
    no better.
    """
    rows = [
        row
        for row in tables.get("ideas", ())
        if row["idea"] == "diversity" and row["tau_ratio_low"] is not None
    ]
    parts = tuple(_part(row, row["words"], _raises(row)) for row in rows)
    found = {part.verdict for part in parts}
    if not parts:
        return Judgement(NOT_RUN)
    said = ("By source: ", *(piece for part in parts for piece in (*part.said, " ")))
    if REPRODUCED in found:
        return Judgement(REPRODUCED, said, "", parts)
    return _judgement(UNDECIDED if UNDECIDED in found else CONTRADICTED, said, parts)


def _raises(row: Row) -> str:
    known = {"validated": REPRODUCED, "rejected": CONTRADICTED, "equivalent": CONTRADICTED}
    return REPRODUCED if row["tau_ratio_low"] > 1 else known.get(row["tau_status"], UNDECIDED)


def tree(tables: Rows, values: Values) -> Judgement:
    """A tree gains throughput unless it is too wide.

    reproduced: the interval of some tree lies above one, that of the wide one below the best. contradicted: every tree
    is shown slower.
    """
    rows = [row for arm in TREES if (row := _row(tables, arm)) is not None]
    wide = _row(tables, "tree-wide")
    if not rows:
        return _undecided(tables, *TREES)
    best = max(rows, key=lambda row: row["ratio"])
    verdict = UNDECIDED
    if best["ratio_low"] > 1 and wide is not None and wide["ratio_high"] < best["ratio_low"]:
        verdict = REPRODUCED
    if all(row["ratio_high"] < 1 for row in rows):
        verdict = CONTRADICTED
    said: list[Piece] = []
    for row in rows:
        said += ["; " if said else "", name(row["arm"]), " has ", *_says(row)]
    return _judgement(verdict, (*said, *_met(tables), "."))


def _met(tables: Rows) -> list[Piece]:
    """By model: the tau at which a cycle earns what its pass costs, with 16, 32 and 48 tokens in the pass."""
    models: dict[str, list[Row]] = {}
    for row in tables.get("verify_cost", ()):
        if row["nodes"] in (16, 32, 48) and row["break_even_tau"] is not None:
            models.setdefault(row["model"], []).append(row)
    said: list[Piece] = []
    for model, rows in models.items():
        said += ["; drafts for " if said else "; sequential decoding is met by drafts for ", name(model)]
        for row in rows:
            said += [" at a tau of " if row is rows[0] else ", "]
            said += [cell("verify_cost", row, "break_even_tau"), " with ", cell("verify_cost", row, "nodes")]
            said += [" in a pass" if row is rows[0] else ""]
    return said


def tree_lite(tables: Rows, values: Values) -> Judgement:
    """Most rejections come early in the block, so that a light tree pays.

    By workload, early: more first rejections lie in the first half of the block than in the second. reproduced: early
    on some workload and on none late, and the light tree's interval above one. contradicted: late on every workload,
    or the light tree is shown slower.
    """
    row = _row(tables, "tree-lite")
    groups: dict[str, list[Row]] = {}
    for line in tables.get("cycles", ()):
        if line["arm"] == BASELINE:
            groups.setdefault(line["task"], []).append(line)
    if row is None or not groups:
        return _undecided(tables, "tree-lite")
    parts = tuple(_where(task, lines) for task, lines in sorted(groups.items()))
    early = overall(list(parts), PRECISION)[0] == REPRODUCED
    late = all(part.verdict == CONTRADICTED for part in parts)
    verdict = UNDECIDED
    if early and row["ratio_low"] > 1:
        verdict = REPRODUCED
    if late or row["ratio_high"] < 1:
        verdict = CONTRADICTED
    return _judgement(verdict, (name(row["arm"]), " has ", *_says(row), "."), parts)


def _where(task: str, lines: list[Row]) -> Part:
    """Whether the plain draft's first rejections on one workload lie in the first half of its block."""
    lines = sorted(lines, key=lambda line: line["position"])
    drafted = lines[-1]["position"] - 1
    early = sum(line["share"] for line in lines if line["position"] <= drafted / 2)
    late = sum(line["share"] for line in lines if drafted / 2 < line["position"] <= drafted)
    verdict = REPRODUCED if early > late else CONTRADICTED if late > early else UNDECIDED
    first = lines[0]
    said = (
        "the first drafted token is accepted in a share of ",
        cell("cycles", first, "acceptance"),
        " of cycles.",
    )
    return Part(task, verdict, said)


def candidates(tables: Rows, values: Values) -> Judgement:
    """Candidate solutions raise tau and not throughput.

    reproduced: the interval of the tau ratio lies above one, and throughput is no higher, see `_gains`. contradicted:
    throughput is validated as higher, or tau shown lower.
    """

    def rule(row: Row) -> str:
        if row["speed_status"] == "validated" or (row["tau_ratio_high"] or 1) < 1:
            return CONTRADICTED
        flat = _gains(row) == CONTRADICTED and (row["tau_ratio_low"] or 1) > 1
        return REPRODUCED if flat else UNDECIDED

    return _one(tables, "candidates", rule)


def gated(tables: Rows, values: Values) -> Judgement:
    """Reuse behind a gate is no slower than none.

    reproduced: its interval lies above one less what counts as no difference. contradicted: below that.
    """

    def rule(row: Row) -> str:
        if row["ratio_low"] > 1 - row["margin"]:
            return REPRODUCED
        return CONTRADICTED if row["ratio_high"] < 1 - row["margin"] else UNDECIDED

    return _one(tables, "seed-gated", rule)


def selective(tables: Rows, values: Values) -> Judgement:
    """Refining selected positions is faster than rewriting the block; both are held against no refinement.

    reproduced: its interval lies above the other's. contradicted: below it.
    """

    def rule(some: Row, whole: Row) -> str:
        if some["ratio_low"] > whole["ratio_high"]:
            return REPRODUCED
        return CONTRADICTED if some["ratio_high"] < whole["ratio_low"] else UNDECIDED

    return _two(tables, "refine-selective", "refine-full", rule)


NEEDS = ("ideas",)
FIXED = Judge((*NEEDS, "draft"), fixed)
SEEDING, COLLAPSES, CAUSE = Judge(NEEDS, seeding), Judge(NEEDS, collapse), Judge(NEEDS, cause)
EWMA, BREAK_EVEN = Judge(NEEDS, ewma), Judge(NEEDS, break_even)
MULTI_ROUND, DIVERSITY = Judge(NEEDS, multi_round), Judge(NEEDS, diversity)
TREE, TREE_LITE = Judge(NEEDS, tree), Judge((*NEEDS, "cycles"), tree_lite)
CANDIDATES, GATED, SELECTIVE = Judge(NEEDS, candidates), Judge(NEEDS, gated), Judge(NEEDS, selective)
