"""Of how to measure: warm-up, clocks, implementations, the authors' own examples."""

from __future__ import annotations

from collections import defaultdict

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
    tally,
    value,
)
from pardec.evidence.findings.base import Row, Rows

PASSES = 5
"""The most warm-up passes that the claim allows."""
LARGE_MB = 2000.0
"""Weights at least this large are of the size the authors published; a billion parameters of two bytes each."""
SAME = ("task", "model", "decoder", "settings", "batch", "prompt_tokens", "new_tokens")
"""What cells of two engines share."""


def judge_warm_up(tables: Rows, values: Values) -> Judgement:
    """Three to five warm-up passes settle what a pass takes.

    A pass has settled where the 95 % interval, over cells, of its median latency relative to the cell's samples lies
    within 1 ± δ, and that of every later pass too (finding `warmup`); δ = max(3 %, noise floor).

    reproduced: passes have settled after five or fewer.
    contradicted: a sixth pass or a later one was measured, and passes have not settled after five.
    not testable here: not settled, and too few passes were measured to say that five do not suffice.
    """
    seen = [ident for ident in values if ident.startswith("finding/warmup/relative/")]
    if not seen:
        return Judgement(NOT_RUN, reason="no warm-up pass was recorded")
    settled = values.get("finding/warmup/settled")
    measured: list[Piece] = []
    for ident in sorted(seen, key=lambda ident: int(ident.rsplit("/", 1)[1])):
        measured += [", " if measured else "", value(ident)]
    series = ["; pass by pass, relative to later ones: ", *(piece for piece in measured if piece), "."]
    if settled is None:
        said = ("No pass takes as long as the later ones, within the margin of equality", *series)
        enough = values["finding/warmup/passes"]["value"] > PASSES
        short = "precision: fewer passes were measured than the claim allows, or no noise floor"
        return Judgement(CONTRADICTED if enough else NOT_TESTABLE, said, "" if enough else short)
    said = (
        "A pass takes as long as the later ones, within the margin of equality, after ",
        value(settled["id"], False),
        *series,
    )
    return Judgement(REPRODUCED if settled["value"] <= PASSES else CONTRADICTED, said)


def judge_clocks(tables: Rows, values: Values) -> Judgement:
    """Device events against host clocks: only a device that works asynchronously can show a difference.

    not testable here: no cell ran on a GPU. not run yet: some did, but no experiment compares the clocks.
    """
    if any(str(row["device"]).startswith("cuda") for row in tables["cells"]):
        return Judgement(NOT_RUN, reason="no experiment times the same passes by three clocks yet")
    return Judgement(
        NOT_TESTABLE, reason="hardware: no cell ran on a GPU, and a CPU works in step with its clock"
    )


def judge_tiers(tables: Rows, values: Values) -> Judgement:
    """Plain implementations compare architectures, optimised ones engineering: the ratio depends on the engine.

    Cells that differ in engine alone are held against each other by their paired ratios (each against a reference of
    the same engine).

    reproduced (a cell): the two ratios' intervals lie apart by more than the noise floor, as a factor.
    contradicted (a cell): the intervals' farthest ends differ by less than the noise floor.
    undecided (a cell): anything between.
    The claim says that some comparison depends on the engine: one such cell reproduces it; with none, one that
    shows equality contradicts it. not testable here: the study has one engine.
    """
    groups: dict[tuple, dict[str, Row]] = defaultdict(dict)
    for row in tables["steps"]:
        if row["ratio_low"] is not None:
            groups[tuple(row[column] for column in SAME)].setdefault(row["engine"], row)
    pairs = [list(tiers.values())[:2] for tiers in groups.values() if len(tiers) > 1]
    if not pairs:
        return Judgement(NOT_TESTABLE, reason="engine: the study runs every arm on one engine")
    parts = [_tier(a, b) for a, b in pairs]
    found = {part.verdict for part in parts}
    said = tally(
        parts, "The engine changes the ratio on", "the engine does not change it on", "it stays open on"
    )
    if found == {UNDECIDED}:
        reason = "precision: the intervals of the engines' ratios meet"
        return Judgement(NOT_TESTABLE, said, reason, tuple(parts))
    return Judgement(REPRODUCED if REPRODUCED in found else CONTRADICTED, said, "", tuple(parts))


def _tier(a: Row, b: Row) -> Part:
    floor = a["noise_floor"]
    verdict = UNDECIDED
    if floor is not None:
        apart = max(a["ratio_low"] / b["ratio_high"], b["ratio_low"] / a["ratio_high"])
        widest = max(a["ratio_high"] / b["ratio_low"], b["ratio_high"] / a["ratio_low"])
        verdict = REPRODUCED if apart > 1 + floor else CONTRADICTED if widest < 1 + floor else UNDECIDED
    steps = "" if a["steps"] is None else f" (steps={a['steps']})"
    said = (
        cell("steps", a, "ratio"),
        " the reference's speed with engine ",
        name(a["engine"]),
        ", ",
        cell("steps", b, "ratio"),
        " with ",
        name(b["engine"]),
        ".",
    )
    return Part(f"{a['arm']}{steps} on {a['task']}", verdict, said)


def judge_examples(tables: Rows, values: Values) -> Judgement:
    """The authors' generation examples can be replicated: needs the authors' weights.

    A model that gives something else than its authors published stops its cells (rule `verify_model`), so whatever was
    timed was seen to agree, or never asked.

    reproduced: a model with checks of its own (`models.<name>.verify`) was timed. not testable here: no model of the
    study is as large as theirs. not run yet: one is, and the study asks nothing of it.
    """
    agreed = dict.fromkeys(row["model"] for row in tables["cells"] if row.get("verified"))
    if agreed:
        said = [piece for model in agreed for piece in (", ", name(model))][1:]
        return Judgement(
            REPRODUCED, ("What the authors published came out again, before anything was timed, of ", *said)
        )
    if any((row["weights_mb"] or 0) >= LARGE_MB for row in tables["cells"]):
        return Judgement(
            NOT_RUN, reason="the study asks nothing of the authors' results (models.<name>.verify)"
        )
    return Judgement(
        NOT_TESTABLE, reason="weights: the study trains small models and has none of the authors'"
    )


WARM_UP = Judge(("warmup",), judge_warm_up)
CLOCKS = Judge(("cells",), judge_clocks)
TIERS = Judge(("steps",), judge_tiers)
EXAMPLES = Judge(("cells",), judge_examples)
