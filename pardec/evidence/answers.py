"""Compose one sentence per question of a study from words and published values; page and terminal print it.

See `pardec.evidence.sentences` for the pieces of a sentence.
"""

from __future__ import annotations

from typing import Any

from pardec.evidence.comparison import REASONS
from pardec.evidence.findings import Rows
from pardec.evidence.sentences import Piece, cell, name, value
from pardec.evidence.tables.answers import answers_one, words_of
from pardec.evidence.tables.base import Row, grouped, slug

VERDICTS = {
    "faster": "faster in ",
    "no difference shown": "not distinguishable in ",
    "slower": "slower in ",
    "not comparable": "not comparable in ",
}
"""Words before the number of comparisons of each verdict, in printing order."""
KEY = ("experiment", "experiment_kind")


def answers(tables: Rows) -> dict[str, dict[str, Any]]:
    """Return by experiment {"kind": its kind, "pieces": pieces}."""
    rows = grouped(tables.get("answers", ()), "experiment")
    by_experiment = {}
    for (experiment, kind), cells in grouped(tables.get("cells", ()), *KEY).items():
        if (experiment,) in rows:
            pieces = [*compared(experiment, rows[experiment,]), *_in_time_alone(rows[experiment,], cells)]
        elif kind == "noise":
            pieces = _noise(tables)
        else:
            pieces = _unpaired(cells)
        by_experiment[experiment] = {"kind": kind, "pieces": pieces}
    return by_experiment


def in_order(answers: dict[str, dict[str, Any]], study: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the answers in the order in which the study asks; tables are ordered by name."""
    asked = list(study.get("experiments") or {})
    return dict(
        sorted(answers.items(), key=lambda one: asked.index(one[0]) if one[0] in asked else len(asked))
    )


def compared(experiment: str, rows: list[Row]) -> list[Piece]:
    """Return the sentence on one experiment's comparisons."""
    if len(rows) == 1:
        return [*_single(rows[0]), *_caveats(rows)]
    present = {row["verdict"] for row in rows}
    total = _finding(f"answer/{experiment}/compared")
    timed = [row for row in rows if row["ratio"] is not None and row["verdict"] != "not comparable"]
    if not timed:
        return ["None of the ", total, " comparisons shows equal quality: ", *_reasons(rows), "."]
    random = all(map(_is_random, timed))
    subject = "An arm on random prompts" if random else "At equal quality the fastest arm"
    pieces: list[Piece] = [subject, " is "]
    decided = [verdict for verdict in VERDICTS if verdict in present and verdict != "not comparable"]
    for place, verdict in enumerate(decided):
        pieces += [", " if place else "", VERDICTS[verdict], _finding(f"answer/{experiment}/{verdict}")]
    pieces += [" of ", total, " comparisons"]
    pieces += _by_batch(rows)
    ranked = sorted(timed, key=lambda row: row["ratio"])
    pieces += ["; at best ", *_clause(ranked[-1], rows)]
    if len(ranked) > 1:
        pieces += ["; at worst ", *_clause(ranked[0], rows)]
    if "not comparable" in present:
        lost = [row for row in rows if row["verdict"] == "not comparable"]
        pieces += ["; ", _finding(f"answer/{experiment}/not comparable"), " could not be compared: "]
        pieces += _reasons(lost)
    return [*pieces, ".", *_caveats(timed)]


def _single(row: Row) -> list[Piece]:
    """Return the sentence on a single comparison."""
    if row["ratio"] is None:
        return [
            "No arm could be compared with ", _name(row, "reference_label"), " at equal quality: ",
            *_reasons([row]), ".",
        ]  # fmt: skip
    pieces = [*_clause(row, [row])]
    if row["candidates"] > 1:
        pieces += [", the fastest of ", _cell(row, "comparable", False), " at equal quality"]
    return [*pieces, "."]


def _in_time_alone(answers: list[Row], cells: list[Row]) -> list[Piece]:
    """Return the speed of the fastest and the slowest cell of an experiment that scores no quality on purpose."""
    if any(row["verdict_reason"] != REASONS["not scored"] for row in answers):
        return []
    timed = sorted(
        (row for row in cells if row.get("ratio_low") is not None and answers_one(row)),
        key=lambda row: row["ratio"],
    )
    labels = {row["reference_arm"]: row["reference_label"] for row in answers}
    pieces: list[Piece] = []
    for place, row in enumerate([timed[-1], timed[0]] if len(timed) > 1 else timed):
        words = words_of(row["cell"])
        pieces += [" and " if place else " In time alone ", _name(row, "label", "arm")]
        pieces += [" (", name(words), ")"] if words else []
        pieces += ["" if place else " is", " ", cell("cells", row, "ratio")]
        pieces += [" as fast as ", name(labels.get(row["reference_arm"]) or row["reference_arm"]), " on "]
        pieces += [_name(row, "task_label", "task")]
    return [*pieces, "."] if pieces else []


def _by_batch(rows: list[Row]) -> list[Piece]:
    """Return the batch sizes under each verdict by workload, if only the batch size varies within a workload."""
    tasks = grouped(rows, "task")
    alone = all(len({row["batch"] for row in group}) == len(group) > 1 for group in tasks.values())
    pieces: list[Piece] = []
    for group in tasks.values() if alone else ():
        pieces += ["; on ", _name(group[0], "task_label", "task"), " "]
        for place, (verdict, these) in enumerate(_in_order(group)):
            pieces += [", " if place else "", verdict, " at batch "]
            for number, row in enumerate(these):
                pieces += [", " if number else "", _cell(row, "batch", False)]
    return pieces


def _in_order(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Return the rows under each verdict, smallest batch first."""
    ranked = sorted(rows, key=lambda row: row["batch"])
    groups = [(verdict, [row for row in ranked if row["verdict"] == verdict]) for verdict in VERDICTS]
    return [(verdict, these) for verdict, these in groups if these]


def _clause(row: Row, beside: list[Row]) -> list[Piece]:
    """Return "X (settings) is 1.6 × [1.2, 2.1] as fast as Y on task, tokens identical".

    beside: rows that the clause must be distinguishable from.
    """
    pieces: list[Piece] = [_name(row, "label", "arm")]
    if row["words"]:
        pieces += [" (", name(row["words"]), ")"]
    if row["verdict"] == "no difference shown":
        pieces += [
            " shows no difference from ",
            _name(row, "reference_label"),
            " (",
            _cell(row, "ratio"),
            ")",
        ]
    else:
        pieces += [" is ", _cell(row, "ratio"), " as fast as ", _name(row, "reference_label")]
    pieces += [" on ", _name(row, "task_label", "task")]
    for column, words in (("batch", "batch "), ("prompt_tokens", "prompts of "), ("new_tokens", "writing ")):
        shapes = {other[column] for other in beside if other["task"] == row["task"]}
        if len(shapes) > 1 and row[column] is not None:
            pieces += [", ", words, _cell(row, column, False)]
    if row["lossless"]:
        pieces += [", tokens identical"]
    elif row["quality_difference"] is not None and not _is_random(row):
        pieces += [", quality differing by ", _cell(row, "quality_difference")]
        if row["quality_margin"] is not None:
            pieces += [" (margin ", _cell(row, "quality_margin", False), ")"]
    return pieces


def _is_random(row: Row) -> bool:
    """Return whether the comparison is of random prompts with real ones, which have no common quality."""
    return row["verdict_reason"] == REASONS["other prompts"]


def _reasons(rows: list[Row]) -> list[Piece]:
    """Return the reasons why comparisons have no result, each once."""
    reasons = dict.fromkeys(row["verdict_reason"] for row in rows if row["verdict_reason"])
    return [name("; ".join(reasons) or "no arm was paired with the reference")]


def _caveats(rows: list[Row]) -> list[Piece]:
    """Return limits of the comparisons in `rows`: pairs of one prompt only, or a δ without A/A pairs."""
    pieces: list[Piece] = []
    single = [row for row in rows if row["one_prompt"]]
    if single:
        pieces += [" " + ("All pairs are" if len(single) == len(rows) else "Some pairs are")]
        pieces += [" of one prompt, so those intervals do not cover a change of prompts."]
    fallback = next((row for row in rows if row["noise_source"] == "fallback"), None)
    if fallback is not None:
        pieces += [" The study measured no A/A pairs: a ratio within ", _cell(fallback, "delta", False)]
        pieces += [" of one counts as no difference."]
    return pieces


def _noise(tables: Rows) -> list[Piece]:
    if not any(row["half_width"] is not None for row in tables.get("noise", ())):
        return ["No cell was measured against itself often enough to show the noise floor."]
    return [
        "An arm measured against itself deviates from one by at most ", _finding("noise/floor"), " over ",
        _finding("noise/cells"), " cells.",
    ]  # fmt: skip


def _unpaired(cells: list[Row]) -> list[Piece]:
    done = any(row["status"] == "ok" for row in cells)
    if not done:
        return ["No cell of this experiment finished."]
    if any(row.get("reference_arm") for row in cells):
        return [
            "Cells of this experiment are compared with themselves or are controls, so it answers nothing."
        ]
    return ["Cells of this experiment have no reference, so it shows time and memory and compares nothing."]


def _cell(row: Row, column: str, interval: bool = True) -> Piece:
    return cell("answers", row, column, interval)


def _finding(ident: str) -> Piece:
    return value(f"finding/{slug(ident)}", False)


def _name(row: Row, *columns: str) -> Piece:
    return name(next((str(row[column]) for column in columns if row.get(column)), ""))
