"""Kinds of experiments, which determine the tables, figures and sections of their cells. Imports little."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COMPARISON = "comparison"
"""Default kind of an experiment: arms against their reference."""
KINDS = {
    "steps": "quality and time against the number of steps",
    "batch": "growth with the batch",
    "length": "growth with the lengths of prompt and output",
    "memory": "as `length`, for its memory alone",
    "prompts": "real prompts against random tokens",
    "noise": "an arm against itself: what this machine takes for a difference",
    "grid": "passes and time against the size of a table",
    "flood": "rendering a plan level by level",
    "draft": "drafts that a target verifies",
    "block": "one token, a block or the whole canvas at a time",
    COMPARISON: "any arms against their reference",
}


def kind_of(name: str, kind: str | None = None) -> str:
    """Return an experiment's kind: as declared, else its name if that is a kind, else `COMPARISON`."""
    return kind or (name if name in KINDS else COMPARISON)


def asked_of_tables(study: Mapping[str, Any]) -> dict[str, Any]:
    """Return the parts of a study (as plain data) that tables read but records lack.

    These are floors, margins of metrics, kinds of experiments, and labels of arms and workloads. Neither times nor
    outputs depend on them, so a change causes no new measurement.
    """
    labels = {
        section: {
            name: entry["label"]
            for name, entry in (study.get(section) or {}).items()
            if isinstance(entry, Mapping) and entry.get("label")
        }
        for section in ("arms", "workloads")
    }
    experiments = study.get("experiments") or {}
    return {
        "floors": study.get("floors"),
        "likelihood_gap": (study.get("likelihood") or {}).get("gap"),
        "margins": study.get("margins") or {},
        "kinds": {name: kind_of(name, entry.get("kind")) for name, entry in experiments.items()},
        **labels,
    }
