"""Views of `cells` by kind of experiment, with additional columns of that kind; their numbers keep one id.

Several experiments of one kind share a view; column `experiment` distinguishes them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping

from pardec.common.lazy import lazy
from pardec.evidence import comparison
from pardec.evidence.columns import SOURCES, Column, columns
from pardec.evidence.comparison import on_test_prompts, with_ends
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import CELL, WHAT
from pardec.evidence.tables.cell_columns import MEMORY as MEMORY_COLUMNS
from pardec.evidence.tables.cells import reach
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, clean, interval

statistics = lazy("pardec.evidence.statistics")


def of_kind(inputs: Inputs, *kinds: str) -> list[Row]:
    """Return rows of `cells` whose experiment is of one of `kinds`."""
    rows = [row for row in inputs.rows("cells") if row["experiment_kind"] in kinds]
    for row in rows:
        del row["key"]
    return rows


def view(
    kind: str,
    description: str,
    build: Callable[[Inputs], list[Row]] | None = None,
    shown: Mapping[str, Column] = CELL,
    needs: tuple[str, ...] = (),
) -> Table:
    """Return a view of `cells`; by default all rows and columns of one kind."""
    plain = build or (lambda inputs: of_kind(inputs, kind))
    return Table(kind, description, ("cells", *needs), ("cell",), dict(shown), plain, view_of="cells")


STEPS = view("steps", "One row per cell of a sweep over steps: time, memory and quality beside each other.")
BATCH = view("batch", "One row per cell of a sweep over batch sizes.")
LENGTH = view("length", "One row per cell of a grid of lengths and batch sizes.")
BLOCK = view("block", "One row per cell of a sweep over blocks, from one token to the whole canvas.")
PROMPTS = view(
    "prompts", "One row per cell on real prompts, and on random tokens paired with the same arm on real ones."
)

IN_MEMORY = {**WHAT, "n": CELL["n"], **MEMORY_COLUMNS, **SOURCES}


def _memory(inputs: Inputs) -> list[Row]:
    """Return rows of experiments of kind memory; without any, those of kind length."""
    rows = of_kind(inputs, "memory") or of_kind(inputs, "length")
    return [{name: row[name] for name in IN_MEMORY} for row in rows]


MEMORY = view(
    "memory",
    "Peak memory by length and batch: allocated, reserved, and its parts; failed cells included.",
    _memory,
    IN_MEMORY,
)
NOISE = view(
    "noise",
    "Each A/A cell with the ratio of an arm to itself; the largest distance from 1 is the noise floor.",
    lambda inputs: [{**row, "half_width": reach(row)} for row in of_kind(inputs, "noise")],
    CELL
    | columns(
        "half_width number of=n_pairs kind=precision | largest distance from 1 of the A/A ratio or an end of its "
        "interval"
    ),
)

ON_FRONT = """
    task cell experiment model arm label decoder steps block batch prompt_tokens new_tokens n quality_n
    latency_ms latency_low latency_high quality quality_low quality_high quality_metric quality_better gate
    lossless
"""
SHAPE = ("experiment", "task", "batch", "prompt_tokens", "new_tokens")


def _pareto(inputs: Inputs) -> list[Row]:
    """Return cells of kind steps with latency and quality, compared by their estimates within one task and shape."""
    cells = [row for row in of_kind(inputs, "steps") if on_test_prompts(row)]
    both = [row for row in cells if row["latency_ms"] is not None and row["quality"] is not None]
    rows = []
    for group in grouped(both, *SHAPE).values():
        for row in group:
            better = [other for other in group if _dominates(other, row)]
            first = min(better, key=lambda other: other["latency_ms"], default=None)
            kept = {column: row[column] for column in (*ON_FRONT.split(), *SOURCES)}
            rows.append({**kept, "on_front": first is None, "dominated_by": first and first["cell"]})
    return rows


def _dominates(a: Row, b: Row) -> bool:
    """Return whether `a` is no worse than `b` on latency and quality, and better on one."""
    sign = -1 if CELL["quality"].lower_is_better(b) else 1
    gain, time = sign * (a["quality"] - b["quality"]), b["latency_ms"] - a["latency_ms"]
    return gain >= 0 and time >= 0 and (gain > 0 or time > 0)


PARETO = view(
    "pareto",
    "Cells with latency and quality; `on_front` where no other cell of the task beats them on both.",
    _pareto,
    {name: CELL[name] for name in ON_FRONT.split()}
    | columns("""
on_front      flag | whether no other cell beats it on both
dominated_by  text | the fastest cell that beats it on both
""")
    | SOURCES,
)


def scores_of(row: Row, inputs: Inputs, names: Mapping[str, str]) -> Row:
    """Return a cell's scores with their intervals. names: columns by metric."""
    score = inputs.scores.get(row["scores"])
    metrics = score.body["metrics"] if score else {}
    entries: Row = {}
    for metric, column in names.items():
        if metrics.get(metric, {}).get("value") is not None:
            entries |= with_ends(column, metrics[metric])
    return entries


RIGHT = 0.99
"""Least share of right cells for a table to count as right; it is also the models' floor."""
GRID_SCORES = {"cells": "cells_right", "rows": "rows_right", "exact": "grids_right", "parses": "parses"}


def _grid(inputs: Inputs) -> list[Row]:
    rows = of_kind(inputs, "grid")
    for row in rows:
        side = math.isqrt(row["new_tokens"])
        row["side"] = side if side * side == row["new_tokens"] else None
        row["passes_set"] = json.loads(row["settings"] or "{}").get("passes")
        row |= scores_of(row, inputs, GRID_SCORES)
        if row.get("cells_right") is not None:
            row["right"] = row["cells_right"] >= RIGHT
    return rows


GRID = view(
    "grid",
    "One row per cell of the Mega-Grid: passes, time and correctness by size.",
    _grid,
    CELL
    | columns("""
side         count cells | rows, and columns, of the square that fills the canvas
passes_set   count | passes after which the decoder stops; empty if it has no limit
cells_right  interval of=quality_n kind=quality better=higher | fraction of cells right, mean over prompts
rows_right   interval of=quality_n kind=quality better=higher | fraction of rows right to the last cell, mean over
    prompts
grids_right  interval of=quality_n kind=quality better=higher | fraction of outputs right to the last cell
parses       interval of=quality_n kind=quality better=higher | fraction of outputs that are a table of integers
right        flag | whether at least 0.99 of the cells are right
"""),
    ("scores",),
)

LOOKUP, END_TO_END = "lookup", "end to end"
PHASES = ("manager", "level0", "level1", "transfer")
FLOOD_SCORES = ("level0", "level1", "rank0", "rank1", "separation0", "separation1", "invalid")


def _flood(inputs: Inputs) -> list[Row]:
    records = {record.path: record.body for record in inputs.records}
    rows = of_kind(inputs, "flood")
    for row in rows:
        settings = json.loads(row["settings"] or "{}")
        row |= {name: settings.get(name) for name in ("candidates", "order", "plan", "chunk_batch")}
        planned = settings.get("plan") == "manager"
        row["roots"] = settings["roots"] if planned else row["prompt_tokens"]
        row["manager"] = settings.get("manager") if planned else None
        row["series"] = series_of(row)
        against = (records[row["record"]].get("reference") or {}).get("cell") or {}
        row["reference_order"] = (against.get("settings") or {}).get("order")
        samples = clean(records[row["record"]]["samples"])
        if row["status"] == "ok" and samples:
            row |= _rates(samples)
        row |= scores_of(row, inputs, dict(zip(FLOOD_SCORES, FLOOD_SCORES, strict=True)))
    within = comparison.margin("level1", inputs.study("margins"))
    for row in rows:
        row |= _gain(row, rows, inputs, within)
    return rows


SAME = (
    "experiment",
    "task",
    "model",
    "decoder",
    "order",
    "plan",
    "roots",
    "new_tokens",
    "batch",
    "chunk_batch",
)
"""Columns in which cells agree that differ in their number of candidates."""


def _gain(row: Row, rows: list[Row], inputs: Inputs, within: float) -> Row:
    """Return what more candidates change in the chunks that are right, paired by prompt with the fewest candidates."""
    scored = [
        one
        for one in rows
        if one.get("level1") is not None and one["candidates"] and all(one[key] == row[key] for key in SAME)
    ]
    fewest = min(scored, key=lambda one: one["candidates"], default=None)
    if row not in scored or fewest is None or fewest["candidates"] == row["candidates"]:
        return {}
    gap = comparison.difference(inputs.scores[row["scores"]], inputs.scores[fewest["scores"]], "level1")
    return {} if gap is None else {**interval("level1_gain", gap), "gain_pairs": gap.n, "gain_margin": within}


def series_of(row: Row) -> str | None:
    """Return the name of a cell's series, whose cells differ only in roots.

    It is None for cells without a series: unfinished ones, those with limited passes, and text that was not rendered.
    """
    if row["status"] != "ok" or row["batch"] != 1 or row.get("chunk_batch") is not None or not row["roots"]:
        return None
    if row["decoder"] == "table_lookup" or row.get("order") is None:
        return LOOKUP if row["decoder"] == "table_lookup" else None
    if row["plan"] != "manager":
        return f"{row['order']} K={row['candidates']}"
    order = "" if row["order"] == "parallel" else f", {row['order']}"
    jacobi = ", jacobi" if row["manager"] == "jacobi" else ""
    return f"{END_TO_END}{order}{jacobi} K={row['candidates']}"


def _rates(samples: list[Sample]) -> Row:
    """Return rates, counts and shares of one cell's samples; rendering columns only if something was rendered."""
    seconds = [sample["e2e_ms"] / 1000 for sample in samples]

    def rate(name: str, amounts: list[float]) -> Row:
        return interval(name, statistics.median([a / s for a, s in zip(amounts, seconds, strict=True)]))

    row = rate("characters_per_s", [sample["useful"] for sample in samples])
    facts = [sample["cycles"][0] for sample in samples if sample.get("cycles")]
    if len(facts) != len(samples):
        return row
    row |= rate("chunks_per_s", [fact["chunks"] for fact in facts])
    named = {"chunks": "chunks", "characters": "characters", "cut": "cut"}
    named |= {"invalid_roots": "invalid", "manager_passes": "manager_passes"}
    row |= {name: sum(f.get(fact, 0) for f in facts) / len(facts) for name, fact in named.items()}
    return row | _shares(samples)


def _shares(samples: list[Sample]) -> dict[str, float]:
    """Return the mean shares of each phase and of the remainder, which sum to one; and sums of some of them."""
    parts = {
        f"{phase}_share": sum(s.get("phases_ms", {}).get(phase, 0.0) / s["e2e_ms"] for s in samples)
        / len(samples)
        for phase in PHASES
    }
    parts["other_share"] = 1 - sum(parts.values())
    return parts | {
        "render_share": parts["level0_share"] + parts["level1_share"],
        "overhead_share": parts["transfer_share"] + parts["other_share"],
    }


FLOOD = view(
    "flood",
    "One row per cell of Flash Flood: shares of its time, its rates, and how much of its output is right.",
    _flood,
    CELL
    | columns("""
roots             count roots | roots of the plan
candidates        count candidates | candidates per condition, K
series            text | order and candidates, lookup, or end to end: cells of one series differ only in roots
order             text | parallel, by_root or by_candidate; empty for decoders that render nothing
plan              text | given, or written by the manager
reference_order   text | the order of the cell that it is paired with
manager           text | how the manager decodes: autoregressive or jacobi; empty where the plan is given
manager_passes    number passes of=n | forward passes of the manager, mean
chunk_batch       count expansions | most expansions per pass; empty: all of a level
manager_share     number of=n kind=share | share of the latency spent in manager, mean
level0_share      number of=n kind=share | share of the latency spent in level0, mean
level1_share      number of=n kind=share | share of the latency spent in level1, mean
transfer_share    number of=n kind=share | share of the latency spent in transfer, mean
other_share       number of=n kind=share | the rest of the latency; all shares sum to one
render_share      number of=n kind=share | share of the latency spent in rendering: level0 and level1
overhead_share    number of=n kind=share | share of the latency that neither plans nor renders: transfer and the rest
characters_per_s  interval characters/s | characters written / E2E, median
chunks_per_s      interval tokens/s | rendered tokens, which are chunks, / E2E, median
chunks            number chunks of=n | chunks rendered, mean
characters        number characters of=n | characters rendered before the canvas cuts any, mean
cut               number characters of=n | characters that the canvas did not hold, mean
invalid_roots     number roots of=n | tokens of the plan that are not roots and wrote nothing, mean
level0            interval of=quality_n kind=quality better=higher | fraction of roots whose chunks are all right
level1            interval of=quality_n kind=quality better=higher | fraction of chunks whose characters are all right
level1_gain       interval of=gain_pairs kind=quality better=higher | level1 minus that of the same cell with the fewest
    candidates, paired by prompt
gain_pairs        size prompts | pairs behind it
gain_margin       number kind=exact | a difference that counts as none
rank0             interval of=quality_n kind=quality better=higher | fraction of pairs of chunks, right and wrong, in
    which the right one has the lower energy
rank1             interval of=quality_n kind=quality better=higher | the same of characters
separation0       interval of=quality_n kind=quality better=higher | energy of wrong chunks minus that of right ones
separation1       interval of=quality_n kind=quality better=higher | the same of characters
invalid           interval of=quality_n kind=quality better=lower | tokens of a plan that are not roots, per prompt
"""),
    ("records", "scores"),
)
