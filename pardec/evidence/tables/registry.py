"""Registry of tables by name."""

from __future__ import annotations

from pardec.common.registry import Registry
from pardec.evidence.columns import Column
from pardec.evidence.tables.base import Table
from pardec.quality.registry import METRICS

_HERE = "pardec.evidence.tables"

TABLES = Registry(
    "table",
    {
        "cells": f"{_HERE}.cells:TABLE",
        "samples": f"{_HERE}.samples:TABLE",
        "noise": f"{_HERE}.views:NOISE",
        "steps": f"{_HERE}.views:STEPS",
        "batch": f"{_HERE}.views:BATCH",
        "length": f"{_HERE}.views:LENGTH",
        "block": f"{_HERE}.views:BLOCK",
        "parallelism": f"{_HERE}.parallelism:TABLE",
        "break_even": f"{_HERE}.break_even:TABLE",
        "prompts": f"{_HERE}.views:PROMPTS",
        "memory": f"{_HERE}.views:MEMORY_TABLE",
        "quality": f"{_HERE}.quality:TABLE",
        "likelihood": f"{_HERE}.likelihood:TABLE",
        "answers": f"{_HERE}.answers:ANSWERS",
        "crossover": f"{_HERE}.crossover:TABLE",
        "pareto": f"{_HERE}.views:PARETO",
        "scaling": f"{_HERE}.scaling:TABLE",
        "warmup": f"{_HERE}.warmup:TABLE",
        "stability": f"{_HERE}.stability:TABLE",
        "draft_prompts": f"{_HERE}.draft_prompts:TABLE",
        "draft": f"{_HERE}.draft:TABLE",
        "models": f"{_HERE}.models:TABLE",
        "cycles": f"{_HERE}.cycles:TABLE",
        "cycle_trace": f"{_HERE}.cycle_trace:TABLE",
        "verify_cost": f"{_HERE}.verify_cost:TABLE",
        "ideas": f"{_HERE}.ideas:TABLE",
        "grid": f"{_HERE}.grid:TABLE",
        "grid_growth": f"{_HERE}.grid_growth:TABLE",
        "commits": f"{_HERE}.commits:TABLE",
        "flood": f"{_HERE}.flood:TABLE",
        "flood_growth": f"{_HERE}.flood_growth:TABLE",
        "machine": f"{_HERE}.machine:TABLE",
    },
)

FILES = ("records", "scores", "likelihoods", "verify_costs", "machine", "floors", "ideas_file")
"""Kinds of inputs that are not tables."""


def needs(name: str) -> tuple[str, ...]:
    """Returns the inputs of table `name`: some of `FILES`, and names of other tables. Does not import pandas."""
    table: Table = TABLES.load(name)
    return table.needs


def modules(name: str) -> list[str]:
    """Returns modules loaded by name to build table `name`: the table's, and if it reads scores those of all metrics.

    Metrics declare direction, margin and span.
    """
    metrics = sorted({METRICS.module(metric) for metric in METRICS}) if "scores" in needs(name) else []
    return [TABLES.module(name), *metrics]


def own_columns(table: Table) -> dict[str, Column]:
    """Returns the columns of `table` that are not those of the table it is a view of."""
    shared = TABLES.load(table.view_of).columns if table.view_of else {}
    return {name: column for name, column in table.columns.items() if name not in shared}


def value_id(name: str, key: str, column: str) -> str:
    """Returns the id of the value in row `key`, column `column` of table `name`.

    Each number has one id; in a view it is that of the table it shows.
    """
    table: Table = TABLES.load(name)
    shared = table.view_of and column in TABLES.load(table.view_of).columns
    return f"{table.view_of if shared else name}/{key}/{column}"
