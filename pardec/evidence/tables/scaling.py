"""Table `scaling`: exponents of throughput over batch, and of time and memory over length."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, count, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.growth import EXPONENTS, powers
from pardec.evidence.tables.inputs import Inputs
from pardec.study import paths

statistics = lazy("pardec.evidence.statistics")

QUANTITIES = {
    "batch": ("tokens_per_s", "latency_ms", "peak_allocated_mb", "working_mb", "ratio"),
    "new_tokens": (
        "latency_ms",
        "tokens_per_s",
        "peak_allocated_mb",
        "working_mb",
        "cache_mb",
        "logits_mb",
        "ratio",
    ),
    "prompt_tokens": (
        "latency_ms",
        "tokens_per_s",
        "peak_allocated_mb",
        "working_mb",
        "cache_mb",
        "logits_mb",
        "ratio",
    ),
}
WORDS = {"batch": "batch", "new_tokens": "new", "prompt_tokens": "prompt"}
SAME = (
    "experiment",
    "task",
    "model",
    "arm",
    "decoder",
    "settings",
    "engine",
    "precision",
    "batch",
    "prompt_tokens",
    "new_tokens",
)


def build(inputs: Inputs) -> list[dict[str, Any]]:
    rows = []
    for kind, axes in (("batch", ("batch",)), ("length", ("new_tokens", "prompt_tokens", "batch"))):
        for against in axes:
            for cells in _series(inputs.rows(kind), against):
                rows += [_fit(against, name, cells) for name in QUANTITIES[against]]
    return [row for row in rows if row is not None]


def _series(cells: list[dict[str, Any]], against: str) -> list[list[dict[str, Any]]]:
    """Returns groups of at least two cells that differ only in `against`."""
    groups: dict[tuple, list[dict[str, Any]]] = defaultdict(list)
    for cell in cells:
        if cell["status"] == "ok" and cell[against] is not None:
            groups[tuple(cell[c] for c in SAME if c != against)].append(cell)
    return [group for group in groups.values() if len({cell[against] for cell in group}) > 1]


def _fit(against: str, quantity: str, cells: list[dict[str, Any]]) -> dict[str, Any] | None:
    cells = sorted((c for c in cells if (c[quantity] or 0) > 0), key=lambda c: c[against])
    ends = [_ends(quantity, cell) for cell in cells]
    fit = powers([c[against] for c in cells], [c[quantity] for c in cells], ends)
    if not fit:
        return None
    first, last = cells[0], cells[-1]
    return {
        "experiment": first["experiment"],
        "series": series_name(first["cell"], against),
        "quantity": quantity,
        "against": against,
        **{c: first[c] for c in ("task", "model", "arm", "decoder", "steps", "block")},
        **{c: None if c == against else first[c] for c in ("batch", "prompt_tokens", "new_tokens")},
        **fit,
        "from_x": first[against],
        "to_x": last[against],
        "growth": last[quantity] / first[quantity],
        **{name: " ".join(c[name] for c in cells) for name in SOURCES},
    }


def _ends(quantity: str, cell: dict[str, Any]) -> tuple[float | None, float | None]:
    """Returns the interval of a quantity; counted quantities have none."""
    column = CELL[quantity]
    return (cell[column.low], cell[column.high]) if column.low and column.high else (None, None)


def series_name(cell: str, against: str) -> str:
    """Returns a cell's id without its experiment and the word that varies."""
    *place, words = cell.split("/")[1:]
    return "/".join([*place, paths.without(words, WORDS[against])])


TABLE = Table(
    name="scaling",
    description="Exponents e of y ~ x^e, by least squares on logarithms over the cells that differ in x "
    "alone.",
    needs=("batch", "length"),
    key=("experiment", "series", "quantity", "against"),
    columns={
        "experiment": text("which experiment, of kind batch or length", nullable=False),
        "series": text("what is kept the same", nullable=False),
        "quantity": text("y: a column of that experiment's table", nullable=False),
        "against": text("x: batch, new_tokens or prompt_tokens", nullable=False),
        "task": text("what is generated"),
        "model": text("name of the model"),
        "arm": text("the study's name for decoder and settings"),
        "decoder": text("how tokens are written"),
        "steps": count("forward passes set"),
        "block": count("tokens of a block", "tokens"),
        "batch": count("prompts decoded together, where it does not vary"),
        "prompt_tokens": count("prompt length, where it does not vary", "tokens"),
        "new_tokens": count("canvas length, where it does not vary", "tokens"),
        **EXPONENTS,
        "n": count("cells in the fit", "cells"),
        "from_x": count("smallest x"),
        "to_x": count("largest x"),
        "growth": number("×", "y at the largest x / y at the smallest", kind="fit"),
        **SOURCES,
    },
    build=build,
)
