"""Every table by name."""

from __future__ import annotations

from pardec.common.registry import Registry
from pardec.evidence.tables.base import Table

_HERE = "pardec.evidence.tables"

TABLES = Registry(
    "table",
    {
        "cells": f"{_HERE}.cells:TABLE",
        "samples": f"{_HERE}.samples:TABLE",
        "noise": f"{_HERE}.noise:TABLE",
        "steps": f"{_HERE}.steps:TABLE",
        "batch": f"{_HERE}.batch:TABLE",
        "length": f"{_HERE}.length:TABLE",
        "prompts": f"{_HERE}.prompts:TABLE",
        "memory": f"{_HERE}.memory:TABLE",
        "quality": f"{_HERE}.quality:TABLE",
        "likelihood": f"{_HERE}.likelihood:TABLE",
        "crossover": f"{_HERE}.crossover:TABLE",
        "pareto": f"{_HERE}.pareto:TABLE",
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
"""What a table may need that is no table."""


def needs(name: str) -> tuple[str, ...]:
    """What table `name` is built from: some of `FILES`, and names of other tables. Imports no pandas."""
    table: Table = TABLES.load(name)
    return table.needs
