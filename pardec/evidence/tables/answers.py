"""Tables `answers` and `crossover`: which cells win at equal quality. Numbers of a chosen cell keep that cell's ids."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from dataclasses import replace
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, Column, columns
from pardec.evidence.comparison import (
    EVEN,
    FASTER,
    NOT_COMPARABLE,
    REASONS,
    SLOWER,
    WORSE,
    speed,
)
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import CELL, taken
from pardec.evidence.tables.growth import series_name
from pardec.evidence.tables.inputs import Inputs, joined
from pardec.evidence.tables.pairs import interval

statistics = lazy("pardec.evidence.statistics")

GROUP = ("experiment", "task", "reference_arm", "batch", "prompt_tokens", "new_tokens")
JUDGED = (FASTER, EVEN, SLOWER)
"""Verdicts of cells at equal quality."""
NOT_ASKED = ("noise",)
"""Kinds of experiments without comparisons."""


class Borrowed:
    """Columns that copy entries of cells. key: the column with the cell's id. names: columns of `cells`, whose
    intervals come along. prefix: before each of their names."""

    def __init__(self, key: str, names: str, prefix: str = ""):
        ends = ((CELL[name].low, CELL[name].high) for name in names.split())
        listed = [
            part
            for name, pair in zip(names.split(), ends, strict=True)
            for part in (name, *filter(None, pair))
        ]
        self.of = {f"{prefix}{name}": (key, name) for name in listed}
        self.columns: dict[str, Column] = {}
        for label, (_, name) in self.of.items():
            column = replace(CELL[name], nullable=True, count=None)
            if column.low and column.high:
                column = replace(column, low=prefix + column.low, high=prefix + column.high)
            self.columns[label] = column

    def of_cell(self, row: Row) -> Row:
        """Return these columns from a row of `cells`."""
        return {label: row[name] for label, (_, name) in self.of.items()}


BEST = Borrowed(
    "cell",
    "steps block n n_pairs n_prompts latency_ms quality quality_n quality_margin quality_difference quality_pairs "
    "lossless_prompts tokens_per_forward",
)
SHARED = "experiment_kind task_label reference delta noise_source quality_metric quality_better"
OF_BEST = "cell arm label model decoder one_prompt lossless"


def _answers(inputs: Inputs) -> list[Row]:
    rows = inputs.rows("cells")
    by_id = {row["cell"]: row for row in rows}
    controls = {setting.control for idea in inputs.ideas.ideas for setting in idea.settings}
    asked = [row for row in rows if row["experiment_kind"] not in NOT_ASKED and answers_one(row, controls)]
    groups = grouped((row for row in asked if row["reference_arm"] is not None), *GROUP)
    labels = {row["arm"]: row["label"] for row in rows}
    return [
        _answer(dict(zip(GROUP, key, strict=True)), group, by_id, labels) for key, group in groups.items()
    ]


def answers_one(row: Row, controls: set[str | None] | frozenset[str] = frozenset()) -> bool:
    """Return whether a cell answers its question: not one that is compared with itself, nor the control of an idea.

    row: of table `cells`. controls: arms that are controls of ideas. Random prompts are compared with the same arm's
    real ones.
    """
    if row["tuning"] or (row["random_prompts"] and row["arm"] != row["reference_arm"]):
        return False
    if row["experiment_kind"] == "draft" and row["arm"] in controls:
        return False
    return row["reference"] is None or _apart_from_run(row["cell"]) != _apart_from_run(row["reference"])


def _apart_from_run(cell: str) -> str:
    """Return a cell's id without its run and the reference it is timed against."""
    return re.sub(r"[+](run|against)~[^+]*", "", cell)


def _answer(what: Row, rows: list[Row], by_id: dict[str, Row], labels: dict[str, str]) -> Row:
    reference = by_id.get(next((row["reference"] for row in rows if row["reference"]), None) or "", {})
    best, answer = chosen(rows)
    arm = what["reference_arm"]
    answer["reference_label"] = labels.get(arm) or reference.get("label") or arm
    answer["faster"] = sum(row["verdict"] == FASTER for row in rows)
    memory = (best and best["peak_allocated_mb"], reference.get("peak_allocated_mb"))
    return {**what, **answer, "memory_ratio": memory[0] / memory[1] if memory[0] and memory[1] else None}


def chosen(rows: list[Row]) -> tuple[Row | None, Row]:
    """Return (the fastest cell at equal quality, columns `CHOSEN`); without such a cell, None and the reason."""
    comparable = [row for row in rows if row["verdict"] in JUDGED]
    answer: Row = {
        **{name: (comparable or rows)[0][name] for name in SHARED.split()},
        "candidates": len(rows),
        "comparable": len(comparable),
        "shown_worse": sum(row["verdict"] == WORSE for row in rows),
    }
    if not comparable:
        reasons = Counter(row["verdict_reason"] for row in rows)
        common = max(REASONS.values(), key=lambda reason: reasons[reason])
        return None, {**answer, "verdict": NOT_COMPARABLE, "verdict_reason": common, **joined(rows)}
    best = max(comparable, key=lambda row: row["ratio"])
    ratio = fastest(best, len(comparable))
    return best, {
        **answer,
        **of_cell(best),
        **interval("ratio", ratio),
        "verdict": speed(ratio.low, ratio.high, best["delta"]),
        "verdict_reason": best["verdict_reason"],
        **joined([best, *rows]),
    }


def of_cell(cell: Row) -> Row:
    """Return what a row says of the cell that it chose, from its row of `cells`."""
    return {
        **{name: cell[name] for name in OF_BEST.split()},
        **BEST.of_cell(cell),
        "words": words_of(cell["cell"]),
    }


def fastest(row: Row, candidates: int) -> Any:
    """Return the speed ratio of the fastest of `candidates` cells, with its interval adjusted for the choice."""
    single = statistics.Estimate(row["ratio"], row["ratio_low"], row["ratio_high"], row["n_pairs"])
    return statistics.among(single, candidates)


def words_of(cell: str) -> str | None:
    """Return the settings that distinguish a cell from its arm: the words of its id except those of its shape."""
    shape = ("new", "batch", "prompt", "prompts", "run", "against")
    words = [re.split("[=~]", word, maxsplit=1) for word in re.split("[,+]", cell.rpartition("/")[2])]
    special = ["random prompts"] if ["prompts", "random"] in words else []
    return ", ".join([*(" ".join(word) for word in words if word[0] not in shape), *special]) or None


CHOSEN = (
    columns("""
candidates       count cells | cells that it is chosen from
comparable       count cells kind=tally | of these, finished cells at equal quality
shown_worse      count cells kind=tally | of these, cells whose quality is shown worse
verdict          text! | of the fastest at equal quality, adjusted for the choice: faster, slower or no difference
    shown; not comparable where there is none
verdict_reason   text! | what decided it
words            text | what sets the chosen cell apart from its arm
ratio            interval × of=n_pairs better=higher label="speed ratio" | latency of the reference / of the fastest
    cell; its interval holds for the largest of all comparable cells at once (Bonferroni)
""")
    | taken(f"{SHARED} {OF_BEST}")
    | BEST.columns
)
"""Columns of a choice among cells."""

ANSWERS = Table(
    name="answers",
    description="By experiment, task, reference and shape: the fastest arm at equal quality, among how many, and its "
    "speed with an interval adjusted for the choice; without cells compared with themselves and controls of ideas.",
    needs=("ideas_file", "cells"),
    key=GROUP,
    columns=taken("experiment task batch prompt_tokens new_tokens")
    | columns("""
reference_arm    text! | the arm with which all others are compared
reference_label  text | its name on the page
faster           count cells kind=tally | cells that are faster at equal quality, each judged alone
memory_ratio     number × kind=memory | peak allocated memory of the cell / of the reference's cell
""")
    | CHOSEN
    | SOURCES,
    build=_answers,
    borrowed=BEST.of,
)

SEQUENTIAL, DIFFUSION = "autoregressive", "masked_diffusion"
"""The two families of decoders (column `family`) that seed document 004 compares; others have separate tables."""
FIRST = Borrowed(
    "cell",
    "n_pairs nfe reference_latency_ms quality quality_n quality_difference latency_ms ratio throughput_ratio",
)
BEST_QUALITY = Borrowed("best_cell", "quality", "best_")
REFERENCE = Borrowed("best_cell", "reference_quality")
FASTEST = Borrowed("fastest_cell", "n_pairs quality latency_ms", "fastest_")
OF_SERIES = "experiment task task_label arm label model decoder reference_model reference_decoder"
SHAPE = "batch prompt_tokens new_tokens"


def _crossover(inputs: Inputs) -> list[Row]:
    """Return one row per series: cells of a diffusion arm that differ only in steps, against an autoregressive one.

    The crossover is the fewest steps whose cell has equal quality (column `gate` of `cells`, decided by
    `pardec.evidence.comparison`). Its ratios are those of this cell, paired in its own process.
    """
    series: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in inputs.rows("steps"):
        if (row["family"], row["reference_family"]) == (DIFFUSION, SEQUENTIAL):
            series[row["experiment"], series_name(row["cell"], "steps")].append(row)
    return [_crossed(name, rows) for (_, name), rows in series.items()]


def _crossed(name: str, rows: list[Row]) -> Row:
    rows = sorted(rows, key=lambda row: (passes(row) or 0, row["latency_ms"] or 0))
    judged = [row for row in rows if row["gate"] is not None]
    equal = [row for row in judged if row["gate"]]
    timed = [row for row in equal if row["ratio"] is not None]
    tried = [number for row in judged if (number := passes(row)) is not None]
    row: Row = {
        "series": name,
        **{column: rows[0][column] for column in f"{OF_SERIES} {SHAPE}".split()},
        "tried": len(rows),
        "judged": len(judged),
        "steps_most": max(tried, default=None),
        "observed": bool(equal) if judged else None,
        **joined([*equal[:1], *rows]),
    }
    if judged:
        lower = judged[0]["quality_better"] == "lower"
        best = (min if lower else max)(judged, key=lambda row: row["quality"])
        row |= {**BEST_QUALITY.of_cell(best), **REFERENCE.of_cell(best), "best_cell": best["cell"]}
        row |= {name: best[name] for name in ("quality_metric", "quality_better")} | {
            "best_steps": passes(best)
        }
    if equal:
        row |= {name: equal[0][name] for name in ("cell", "status", "verdict")}
        row |= {**FIRST.of_cell(equal[0]), "steps": passes(equal[0])}
    if timed:
        best = max(timed, key=lambda row: row["ratio"])
        ratio = fastest(best, len(timed))
        row |= {**FASTEST.of_cell(best), "fastest_cell": best["cell"], "fastest_steps": passes(best)}
        row |= {**interval("fastest_ratio", ratio), "fastest_of": len(timed)}
    return row


def passes(row: Row) -> int | None:
    """Return the steps set, else the number of passes made; None if neither is known."""
    return row["steps"] if row["steps"] is not None or row["nfe"] is None else round(row["nfe"])


CROSSOVER = Table(
    name="crossover",
    description="By task: the fewest steps at which parallel decoding reaches the reference's quality, and its speed "
    "there.",
    needs=("steps",),
    key=("experiment", "series"),
    columns=taken(f"{OF_SERIES} {SHAPE} status verdict quality_metric quality_better")
    | columns("""
series           text! | what its cells have in common: all but the steps
tried            count cells | cells in the series
judged           count cells | of these, cells whose quality could be compared
steps_most       count steps | most steps judged
observed         flag | whether any number of steps tried reaches the reference's quality; empty where none was judged
cell             text | the crossover's cell
steps            count steps | the crossover: fewest steps that reach it; empty if none was observed (the first
    of the row's records)
best_cell        text | the cell with the best quality
best_steps       count steps | its steps
fastest_cell     text | the fastest cell of those at equal quality
fastest_steps    count steps | its steps
fastest_ratio    interval × of=fastest_n_pairs better=higher | latency of the reference / of the fastest cell; its
    interval holds for the largest of all at once
fastest_of       count cells kind=tally | cells at equal quality among which it is the fastest
""")
    | FIRST.columns
    | REFERENCE.columns
    | BEST_QUALITY.columns
    | FASTEST.columns
    | SOURCES,
    build=_crossover,
    borrowed=FIRST.of | REFERENCE.of | BEST_QUALITY.of | FASTEST.of,
)
