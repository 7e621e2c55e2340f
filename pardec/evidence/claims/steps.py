"""Of steps: few are fast and wrong, many are good and slow; and where quality meets."""

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
    cell,
    name,
    overall,
    tally,
    value,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.findings.crossover import by_task
from pardec.evidence.tables.series import compares_kinds, over_steps

METRICS = {"exact": "exact match", "scorer_nll": "scorer NLL (nats/token, lower is better)"}
"""How sentences call a metric."""
PRECISION = "precision: no interval tells the two sides apart"


def judge_tradeoff(tables: Rows, values: Values) -> Judgement:
    """Few steps are faster but worse, many are good but slower: by task.

    Few and many are the fewest and the most steps of a task's series; fast and slow are the table's verdicts, the
    paired ratio's 95 % interval against 1 ± noise floor; worse is a gate that fails, good one that passes.

    reproduced (a task): few is faster and worse, many is slower and good.
    contradicted (a task): one of the four is shown to be otherwise: few is slower, or good with an estimate at least
        the reference's; many is faster, or worse.
    undecided (a task): anything else: no difference shown, no quality, a gate passed with a lower estimate.
    The claim is contradicted by one task that contradicts it, and else reproduced by one that reproduces it.
    """
    parts = [_tradeoff(task, rows) for task, rows in _series(tables["steps"]).items()]
    verdict, reason = overall(parts, PRECISION)
    said = tally(
        parts,
        "Few steps are faster but worse and many good but slower on",
        "the trade is another on",
        "it stays open on",
    )
    return Judgement(verdict, said, reason, tuple(parts))


def _series(rows: list[Row]) -> dict[str, list[Row]]:
    """By task: the parallel series with the most cells, from few steps to many."""
    chosen: dict[str, list[Row]] = {}
    kept = (row for row in rows if compares_kinds(row) and row["steps"] is not None)
    for (task, *_), group in over_steps(kept).items():
        if len(group) > len(chosen.get(task, [None])):
            chosen[task] = sorted(group, key=lambda row: row["steps"])
    return chosen


def _tradeoff(task: str, rows: list[Row]) -> Part:
    few, many = rows[0], rows[-1]
    holds = (few["verdict"], few["gate"], many["verdict"], many["gate"]) == ("faster", False, "slower", True)
    otherwise = (
        few["verdict"] == "slower"
        or (few["gate"] is True and _as_good(few))
        or many["verdict"] == "faster"
        or many["gate"] is False
    )
    verdict = REPRODUCED if holds else CONTRADICTED if otherwise else UNDECIDED
    return Part(task, verdict, (*_end(few), "; ", *_end(many), "."))


def _end(row: Row) -> list[Piece]:
    pieces: list[Piece] = ["with ", cell("steps", row, "steps"), " step" if row["steps"] == 1 else " steps"]
    if row["ratio"] is not None:
        pieces += [", ", cell("steps", row, "ratio"), " the autoregressive speed"]
    if row["quality_difference"] is not None:
        metric = METRICS.get(row["quality_metric"], str(row["quality_metric"]).replace("_", " "))
        pieces += [" and a difference of ", cell("steps", row, "quality_difference"), " in ", name(metric)]
        pieces += {True: [" (not shown worse)"], False: [" (worse)"]}.get(row["gate"], [])
    return pieces


def _as_good(row: Row) -> bool:
    gap = row["quality_difference"]
    return gap is not None and (gap <= 0 if row["quality_better"] == "lower" else gap >= 0)


def judge_crossover(tables: Rows, values: Values) -> Judgement:
    """Some number of steps matches the autoregressive quality, and latency there is higher or lower: by task.

    A task's crossover is the fewest steps whose quality passes the gate (table `crossover`); its latency ratio is held
    against the noise floor there.

    reproduced (a task): a crossover is observed and its ratio has a verdict: faster, slower, or no difference shown.
    contradicted (a task): none is observed up to as many steps as the canvas has tokens: more steps cannot help.
    undecided (a task): quality was not compared, no ratio was measured, or fewer steps were tried than that.
    The claim is contradicted by one task without a crossover, and else reproduced by one that has it.
    """
    parts = [_crossover(task, row) for task, row in by_task(tables["crossover"]).items()]
    verdict, reason = overall(parts, "quality: no task's outputs could be compared")
    said = tally(
        parts,
        "Some number of steps (its speed ratio behind it) matches on",
        "no number of steps tried matches on",
        "it stays open on",
    )
    return Judgement(verdict, said, reason, tuple(parts))


def _crossover(task: str, row: Row) -> Part:
    if row["observed"] and row["verdict"] is not None:
        at, speed = cell("crossover", row, "steps"), cell("crossover", row, "ratio")
        words = {"faster": "lower latency", "slower": "higher latency"}.get(row["verdict"], row["verdict"])
        said = ("matches with ", at, "; there ", speed, f" the autoregressive speed: {words}.")
        short = (value(at["value"], False), ", ", value(speed["value"], False))
        return Part(task, REPRODUCED, said, short)
    if row["observed"] is None or row["observed"] or row["steps_most"] is None:
        return Part(task, UNDECIDED, ("speed and quality were not both compared.",))
    all_tried = row["steps_most"] >= row["new_tokens"]
    most, best, other = (
        cell("crossover", row, c) for c in ("steps_most", "best_quality", "reference_quality")
    )
    said = ("does not match with up to ", most, ": at best ", best, " against ", other, ".")
    return Part(task, CONTRADICTED if all_tried else UNDECIDED, said)


TRADEOFF = Judge(("steps",), judge_tradeoff)
CROSSOVER = Judge(("crossover",), judge_crossover)
