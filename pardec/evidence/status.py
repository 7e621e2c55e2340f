"""Progress of a study: each cell's state according to Snakemake, and the time left by past durations."""

from __future__ import annotations

import csv
import datetime
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pardec.common.errors import UserError
from pardec.study.cells import Cell
from pardec.study.plan import Plan

DONE, STALE, FAILED, MISSING = "done", "stale", "failed", "missing"
STATES = (DONE, STALE, FAILED, MISSING)
TO_BE_MADE = "update pending"
"""What Snakemake's summary says of a file that its job would make again."""
BEFORE = "what it is made from will be made again"
"""Reason for an update if the file itself and its inputs are unchanged."""


@dataclass(frozen=True)
class CellState:
    """State of a cell. seconds: duration of its job, None if it has not run. left: expected duration, 0 if nothing is
    to be done, None if unknown."""

    id: str
    experiment: str
    state: str
    why: str
    seconds: float | None
    left: float | None


def stale_files(
    root: Path, configfiles: Sequence[str | Path] = (), overrides: Iterable[str] = ()
) -> dict[str, str]:
    """Return the reason for each file of the study that Snakemake would remake, by path; other files are absent.

    A run in progress is not disturbed.

    Raises:
        UserError: Snakemake refuses the study.
    """
    command = [sys.executable, "-m", "snakemake", "all", "--summary", "--nolock"]
    command += ["--configfile", *map(str, configfiles)] if configfiles else []
    command += ["--config", *overrides] if overrides else []
    paths = [str(root), *filter(None, [os.environ.get("PYTHONPATH")])]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError("snakemake --summary", done.stderr.strip()[-400:], "correct the study first")
    rows = csv.DictReader(done.stdout.splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    return {
        row["output_file"]: BEFORE if row["status"] == "ok" else row["status"]
        for row in rows
        if row["plan"] == TO_BE_MADE
    }


def cell_states(plan: Plan, root: Path, stale: dict[str, str]) -> list[CellState]:
    """Return the state of every cell, in the study's order. stale: see `stale_files`."""
    seen = {ident: _cell(plan.record(ident), root, stale) for ident in plan.cells}
    past = {ident: seconds for ident, (_, _, seconds) in seen.items() if seconds is not None}
    return [
        CellState(
            ident,
            plan.cells[ident].experiment,
            state,
            why,
            seconds,
            0.0 if state in (DONE, FAILED) else expected(plan.cells, ident, past),
        )
        for ident, (state, why, seconds) in seen.items()
    ]


def _cell(record: str, root: Path, stale: dict[str, str]) -> tuple[str, str, float | None]:
    """Return (state, reason, duration of its job in seconds)."""
    try:
        body = json.loads((root / record).read_bytes())
    except (OSError, ValueError):
        return MISSING, "", None
    seconds = _duration(body, body.get("provenance") or {})
    if record in stale:
        return STALE, stale[record], seconds
    if body.get("status") != "ok":
        return FAILED, f"{body.get('status')}: {body.get('reason') or 'no reason given'}", seconds
    return DONE, "", seconds


def expected(cells: dict[str, Cell], ident: str, past: dict[str, float]) -> float | None:
    """Return the expected seconds of a cell: its last duration, else the median of the most similar cells."""
    if ident in past:
        return past[ident]
    cell = cells[ident]
    for alike in (("workload", "arm", "new_tokens"), ("workload", "arm"), ("workload",), ()):
        same = [
            seconds
            for other, seconds in past.items()
            if all(getattr(cells[other], name) == getattr(cell, name) for name in alike)
        ]
        if same:
            return statistics.median(same)
    return None


def _duration(body: dict, origin: dict) -> float | None:
    """Return the seconds of a job from start to end, or as its record counts them."""
    if isinstance(body.get("job_s"), int | float):
        return float(body["job_s"]) + float(body.get("ready_s") or 0)
    try:
        start, end = (datetime.datetime.fromisoformat(origin[key]) for key in ("start", "end"))
    except (KeyError, TypeError, ValueError):
        return None
    return (end - start).total_seconds()
