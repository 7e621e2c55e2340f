"""One study from several machines: a table in which the machine is a column, and a page with a column a machine.

No number is made from two machines: every figure is one run's own, as its table `cells` has it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence.tables.files import rows_of

pandas = lazy("pandas")

SAME = ("name", "seed", "precision", "data", "models", "arms", "workloads", "experiments")
"""Sections of a study that runs must have in common, or a row of one would be another thing than the row of another."""
CELLS = "results/tables/cells.parquet"
MEASURES = {
    "latency_ms": ("end to end, ms", "latency_low", "latency_high"),
    "ratio": ("reference / cell", "ratio_low", "ratio_high"),
    "tokens_per_s": ("useful tokens a second", None, None),
    "peak_allocated_mb": ("peak memory, MB", None, None),
    "quality": ("quality", "quality_low", "quality_high"),
}
"""What the page shows: column, what it says, and the columns of its 95 % interval."""


@dataclass(frozen=True)
class Part:
    """One run. machine: what it ran on, different for every run. facts: of the machine. rows: its cells by id."""

    label: str
    machine: str
    facts: dict[str, Any]
    frame: Any
    rows: dict[str, dict[str, Any]]


def merge(runs: Sequence[Run]) -> list[Part]:
    """Each run beside the others.

    Raises:
        UserError: fewer than two runs, a damaged one, one without tables, or runs of different studies.
    """
    if len(runs) < 2:
        raise UserError("pardec merge", "takes two runs or more", "name another archive or folder of results")
    for run in runs:
        if run.damaged:
            raise UserError(f"{run.label}: {run.damaged[0][0]}", run.damaged[0][1], "write the archive again")
    first = _study(runs[0])
    for run in runs[1:]:
        other = _study(run)
        different = [key for key in SAME if first.get(key) != other.get(key)]
        if different:
            what = f"is of another study than {runs[0].label}: {', '.join(different)} differ"
            raise UserError(run.label, what, "run the same config on both machines")
    names = _names([_json(run, "results/machine.json") for run in runs])
    return [_part(run, name) for run, name in zip(runs, names, strict=True)]


def long_table(parts: Sequence[Part]) -> Any:
    """All cells of all runs as one frame, `machine` its first column."""
    frames = []
    for part in parts:
        frame = part.frame.copy()
        frame.insert(0, "machine", part.machine)
        frame.insert(1, "run", part.label)
        frames.append(frame)
    return pandas.concat(frames, ignore_index=True)


def cells(parts: Sequence[Part]) -> list[str]:
    """Ids of all cells, in the order of the first run that has them."""
    return list(dict.fromkeys(id for part in parts for id in part.rows))


def figures(part: Part, cell: str, measure: str) -> tuple[Any, Any, Any] | str | None:
    """(value, low, high) of a cell on one machine; its status where it failed; None where the run lacks it."""
    row = part.rows.get(cell)
    if row is None:
        return None
    if row["status"] != "ok":
        return str(row["status"])
    _, low, high = MEASURES[measure]
    return row.get(measure), row.get(low) if low else None, row.get(high) if high else None


def _part(run: Run, machine: str) -> Part:
    path = run.path(CELLS)
    try:
        frame = pandas.read_parquet(path)
        rows = rows_of(frame)
        by_id = {row["cell"]: row for row in rows if row["status"]}
    except (OSError, ValueError, KeyError) as error:
        what = f"is missing or damaged ({str(error).splitlines()[0] if str(error) else type(error).__name__})"
        raise UserError(f"{run.label}: {CELLS}", what, "run `make all`, or name another run") from None
    facts = {key: value for key, value in _json(run, "results/machine.json").items() if _plain(value)}
    return Part(run.label, machine, facts, frame, by_id)


def _plain(value: Any) -> bool:
    return isinstance(value, str | int | float) and not isinstance(value, bool)


def _study(run: Run) -> dict[str, Any]:
    """The study, without what a machine decides."""
    return json.loads(json.dumps(_json(run, "results/study.json")))


def _json(run: Run, name: str) -> dict[str, Any]:
    body = run.json(name)
    if not isinstance(body, dict):
        raise UserError(
            f"{run.label}: {name}", "is missing or damaged", "run `make all`, or name another run"
        )
    return body


def _names(machines: Sequence[dict[str, Any]]) -> list[str]:
    """What a reader calls each machine: its GPU, else its CPU; numbered where two runs are on a like machine."""
    plain = [name for machine in machines for name in [_name(machine)]]
    return list(_numbered(plain))


def _name(machine: dict[str, Any]) -> str:
    gpu = machine.get("gpu")
    if isinstance(gpu, dict):
        gpu = gpu.get("name")
    if isinstance(gpu, list):
        gpu = gpu[0] if gpu else None
    if gpu and str(machine.get("device", "")).startswith("cuda"):
        return str(gpu)
    cores = machine.get("cores")
    return f"{machine.get('cpu', 'unknown machine')}{f', {cores} cores' if cores else ''}"


def _numbered(names: Sequence[str]) -> Iterator[str]:
    seen: dict[str, int] = {}
    for name in names:
        seen[name] = seen.get(name, 0) + 1
        yield f"{name} ({seen[name]})" if names.count(name) > 1 else name
