"""Select the parts of a study that its report describes: those its experiments use, with flat settings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Study = dict[str, Any]


def used(study: Study, section: str) -> dict[str, Any]:
    """Return the entries of `workloads`, `arms` or `models` that experiments use, in the study's order."""
    names = {"workloads": _workloads, "arms": _arms, "models": _models}[section](study)
    return {name: entry for name, entry in (study.get(section) or {}).items() if name in names}


def flat(settings: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield settings without nulls, nested ones as `outer.inner`."""
    for key, entry in settings.items():
        if isinstance(entry, dict):
            yield from flat(entry, f"{prefix}{key}.")
        elif entry is not None and entry != "":
            yield f"{prefix}{key}", ", ".join(map(str, entry)) if isinstance(entry, list) else entry


def _grids(study: Study) -> list[dict[str, Any]]:
    return [grid for experiment in study["experiments"].values() for grid in experiment.get("grids") or ()]


def _workloads(study: Study) -> set[str]:
    return {name for grid in _grids(study) for name in grid["workloads"]}


def _arms(study: Study) -> set[str]:
    named = {name for grid in _grids(study) for name in grid["arms"]}
    return named | {grid["reference"] for grid in _grids(study) if grid.get("reference")}


def _models(study: Study) -> set[str]:
    workloads = used(study, "workloads").values()
    written = {model for workload in workloads for model in workload["models"].values()}
    scorers = {workload["scorer"] for workload in workloads if workload.get("scorer")}
    likelihood = (study.get("likelihood") or {}).get("models") or []
    # A model's training may start from another model's weights.
    names = written | scorers | set(likelihood)
    return names | {
        entry["init"] for name, entry in study["models"].items() if name in names and entry.get("init")
    }
