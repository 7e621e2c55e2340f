"""Combine runs of one study on several machines: a table with a column `machine`, and a page with a column per machine.

No number combines machines: each comes from one run's table `cells`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pardec.audit.pages import plain
from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.columns import Column
from pardec.evidence.tables.inputs import rows_of
from pardec.evidence.tables.registry import TABLES

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")

SAME = ("name", "seed", "precision", "data", "models", "arms", "workloads", "experiments")
"""Sections of a study that must be equal in all runs; otherwise rows of one name would not be comparable."""
CELLS = "results/tables/cells.parquet"
MEASURES = ("latency_ms", "ratio", "tokens_per_s", "peak_allocated_mb", "quality")
"""Columns of `cells` on the page."""


@dataclass(frozen=True)
class Part:
    """One run. machine: unique name of its machine. facts: of the machine. rows: its cells by id."""

    label: str
    machine: str
    facts: dict[str, Any]
    frame: DataFrame
    rows: dict[str, dict[str, Any]]

    def shown(self, cell: str, name: str, column: Column) -> str:
        """Return a number with its interval; the status of a failed cell; a dash if this run lacks the cell."""
        row = self.rows.get(cell)
        if row is None or row["status"] != "ok":
            return plain(row and row["status"])
        ends = [row.get(end) if end else None for end in (column.low, column.high)]
        interval = "" if None in ends else f" [{plain(ends[0])}, {plain(ends[1])}]"
        return plain(row.get(name)) + interval


def merge(runs: Sequence[Run]) -> list[Part]:
    """Return the runs side by side.

    Raises:
        UserError: fewer than two runs, a damaged one, one without tables, or runs of different studies.
    """
    if len(runs) < 2:
        raise UserError("pardec merge", "takes two runs or more", "name another archive or folder of results")
    for run in runs:
        run.refuse_damage()
    studies = [run.body("study.json") for run in runs]
    for run, study in zip(runs[1:], studies[1:], strict=True):
        different = [key for key in SAME if studies[0].get(key) != study.get(key)]
        if different:
            what = f"is of another study than {runs[0].label}: {', '.join(different)} differ"
            raise UserError(run.label, what, "run the same config on both machines")
    machines = [run.body("machine.json") for run in runs]
    names = _numbered([_name(machine) for machine in machines])
    return [_part(*each) for each in zip(runs, names, machines, strict=True)]


def long_table(parts: Sequence[Part]) -> DataFrame:
    """Return all cells of all runs, with `machine` as first column."""
    frames = [part.frame.assign(machine=part.machine, run=part.label) for part in parts]
    whole = pandas.concat(frames, ignore_index=True)
    return whole[["machine", "run", *(name for name in whole.columns if name not in ("machine", "run"))]]


def material(parts: Sequence[Part]) -> dict[str, Any]:
    """Return the variables of the page's template."""
    return {
        "parts": parts,
        "cells": list(dict.fromkeys(cell for part in parts for cell in part.rows)),
        "facts": list(dict.fromkeys(key for part in parts for key in part.facts)),
        "measures": {name: TABLES.load("cells").columns[name] for name in MEASURES},
    }


def _part(run: Run, name: str, machine: dict[str, Any]) -> Part:
    try:
        frame = pandas.read_parquet(run.path(CELLS))
        by_id = {row["cell"]: row for row in rows_of(frame) if row["status"]}
    except (OSError, ValueError, KeyError) as error:
        what = f"is missing or damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise UserError(f"{run.label}: {CELLS}", what, "run `make all`, or name another run") from None
    return Part(run.label, name, {key: one for key, one in machine.items() if _is_fact(one)}, frame, by_id)


def _is_fact(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _name(machine: dict[str, Any]) -> str:
    """Return a machine's name: its GPU if the study ran on it, else its CPU."""
    gpu = machine.get("gpu")
    gpu = gpu.get("name") if isinstance(gpu, dict) else gpu
    gpu = (gpu or [None])[0] if isinstance(gpu, list) else gpu
    if gpu and str(machine.get("device", "")).startswith("cuda"):
        return str(gpu)
    cores = machine.get("cores")
    return f"{machine.get('cpu', 'unknown machine')}{f', {cores} cores' if cores else ''}"


def _numbered(names: Sequence[str]) -> list[str]:
    """Return names, with a number after those that repeat."""
    return [
        f"{name} ({names[: place + 1].count(name)})" if names.count(name) > 1 else name
        for place, name in enumerate(names)
    ]
