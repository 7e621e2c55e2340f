"""Views of `cells` by kind of experiment, with additional columns of that kind; their numbers keep one id.

Several experiments of one kind share a view; column `experiment` distinguishes them.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.evidence.columns import SOURCES, flag, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL, MEMORY, TIME, WHAT
from pardec.evidence.tables.cells import reach
from pardec.evidence.tables.inputs import Inputs

Row = dict[str, Any]


def of_kind(inputs: Inputs, *kinds: str) -> list[Row]:
    """Returns rows of `cells` whose experiment is of one of `kinds`."""
    rows = [row for row in inputs.rows("cells") if row["experiment_kind"] in kinds]
    for row in rows:
        del row["key"]
    return rows


def view(kind: str, description: str) -> Table:
    return Table(
        name=kind,
        description=description,
        needs=("cells",),
        key=("cell",),
        columns=CELL,
        build=lambda inputs: of_kind(inputs, kind),
        view_of="cells",
    )


STEPS = view("steps", "One row a cell of a sweep over steps: time, memory and quality beside each other.")
BATCH = view("batch", "One row a cell of a sweep over batch sizes.")
LENGTH = view("length", "One row a cell of a grid of lengths and batch sizes.")
BLOCK = view("block", "One row a cell of a sweep over blocks, from one token to the whole canvas.")
PROMPTS = view(
    "prompts", "One row a cell on real prompts, and on random tokens paired with the same arm on real ones."
)


def _memory(inputs: Inputs) -> list[Row]:
    """Returns rows of experiments of kind memory; without any, those of kind length."""
    rows = of_kind(inputs, "memory") or of_kind(inputs, "length")
    return [{name: row[name] for name in (*WHAT, "n", *MEMORY, *SOURCES)} for row in rows]


MEMORY_TABLE = Table(
    name="memory",
    description="Peak memory by length and batch: allocated, reserved, and how it divides; failed cells included.",
    needs=("cells",),
    key=("cell",),
    columns={**WHAT, "n": TIME["n"], **MEMORY, **SOURCES},
    build=_memory,
    view_of="cells",
)


def _noise(inputs: Inputs) -> list[Row]:
    return [{**row, "half_width": reach(row)} for row in of_kind(inputs, "noise")]


NOISE = Table(
    name="noise",
    description="Each A/A cell with the ratio of an arm to itself; its reach from 1 is the noise floor.",
    needs=("cells",),
    key=("cell",),
    columns={
        **CELL,
        "half_width": number(
            "", "farthest that the A/A ratio or its interval lies from 1", "n_pairs", kind="precision"
        ),
    },
    build=_noise,
    view_of="cells",
)

KEPT = (
    "task", "cell", "experiment", "model", "arm", "label", "decoder", "steps", "block", "batch", "prompt_tokens",
    "new_tokens", "n", "quality_n", "latency_ms", "latency_low", "latency_high", "quality", "quality_low",
    "quality_high", "quality_metric", "quality_better", "gate", "lossless",
)  # fmt: skip


def _pareto(inputs: Inputs) -> list[Row]:
    """Returns cells of kind steps with latency and quality, compared by their estimates within one task and shape."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in of_kind(inputs, "steps"):
        if row["latency_ms"] is not None and row["quality"] is not None:
            shape = ("experiment", "task", "batch", "prompt_tokens", "new_tokens")
            groups[tuple(row[c] for c in shape)].append(row)
    rows = []
    for group in groups.values():
        for row in group:
            better = sorted((o for o in group if _dominates(o, row)), key=lambda other: other["latency_ms"])
            beaten_by = better[0]["cell"] if better else None
            kept = {column: row[column] for column in (*KEPT, *SOURCES)}
            rows.append({**kept, "on_front": not better, "dominated_by": beaten_by})
    return rows


def _dominates(a: Row, b: Row) -> bool:
    """Returns whether `a` is no worse than `b` on latency and quality, and better on one."""
    sign = -1 if CELL["quality"].lower_is_better(b) else 1
    gain, time = sign * (a["quality"] - b["quality"]), b["latency_ms"] - a["latency_ms"]
    return gain >= 0 and time >= 0 and (gain > 0 or time > 0)


PARETO = Table(
    name="pareto",
    description="Cells with latency and quality; `on_front` where no other cell of the task beats them on both.",
    needs=("cells",),
    key=("cell",),
    columns={
        **{name: CELL[name] for name in KEPT},
        "on_front": flag("whether no other cell beats it on both"),
        "dominated_by": text("the fastest cell that does"),
        **SOURCES,
    },
    build=_pareto,
    view_of="cells",
)
