"""Registry of tables by name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any

from pardec.common.registry import Registry
from pardec.evidence.tables.base import Table, slug
from pardec.quality.registry import METRICS

_BY_MODULE = {
    "cells": ("cells",),
    "raw": ("samples", "warmup", "stability", "commits"),
    "views": ("noise", "steps", "batch", "length", "block", "prompts", "memory", "pareto", "grid", "flood"),
    "quality": ("quality", "likelihood"),
    "answers": ("answers", "crossover"),
    "parallelism": ("parallelism",),
    "break_even": ("break_even",),
    "aup": ("aup",),
    "interactivity": ("interactivity",),
    "growth": ("growth",),
    "draft": ("draft_prompts", "draft"),
    "cycles": ("cycles", "cycle_trace"),
    "acceptance": ("acceptance",),
    "models": ("models",),
    "verify_cost": ("verify_cost",),
    "ideas": ("ideas",),
    "machine": ("machine",),
}
"""Tables by module, in the order in which they can be built; each is the module's constant of the same name."""
TABLES = Registry(
    "table",
    {
        name: f"pardec.evidence.tables.{module}:{name.upper()}"
        for module, names in _BY_MODULE.items()
        for name in names
    },
)
FILES = ("records", "scores", "likelihoods", "verify_costs", "machine", "floors", "ideas_file")
"""Kinds of inputs that are not tables."""


def needs(name: str) -> tuple[str, ...]:
    """Return the inputs of table `name`: some of `FILES`, and names of other tables. Does not import pandas."""
    table: Table = TABLES.load(name)
    return table.needs


def modules(name: str) -> list[str]:
    """Return modules loaded by name to build table `name`: the table's, and if it reads scores those of all metrics.

    Metrics declare direction, margin and span.
    """
    metrics = sorted({METRICS.module(metric) for metric in METRICS}) if "scores" in needs(name) else []
    return [TABLES.module(name), *metrics]


def value_id(name: str, row: Mapping[str, Any], column: str) -> str:
    """Return the id of the value in `row`, column `column` of table `name`.

    Each number has one id: in a view that of the table it shows, of a borrowed entry that of its cell.
    """
    table, shared = _named_columns(name)
    if column in table.borrowed and row.get(table.borrowed[column][0]):
        cell, column = table.borrowed[column]
        return f"cells/{slug(row[cell]).removeprefix('cells/')}/{column}"
    return f"{table.view_of if column in shared else name}/{row['key']}/{column}"


@cache
def _named_columns(name: str) -> tuple[Table, frozenset[str]]:
    """Return table `name` and the columns that it shows of another one: asked once a table, since a study has hundreds
    of thousands of values."""
    table: Table = TABLES.load(name)
    return table, frozenset(TABLES.load(table.view_of).columns if table.view_of else ())
