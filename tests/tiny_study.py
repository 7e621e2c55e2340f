"""A study of four timed cells on models hardly trained: for tests of what happens to a run, not of what it finds."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

from pardec.study.layers import read_study
from pardec.study.plan import Plan

ROOT = Path(__file__).parents[1]
SIZE = {"hidden": 32, "layers": 1, "heads": 2, "mlp": 64}


def model(family: str) -> dict[str, Any]:
    return {
        "source": "train",
        "data": "d",
        "objective": {"family": family},
        "size": SIZE,
        "steps": 4,
        "batch": 4,
    }


STUDY: dict[str, Any] = {
    "name": "tiny",
    "title": "A tiny study",
    "seed": 5,
    "device": "cpu",
    "data": {"d": {"source": "tasks", "tasks": {"copy": {}}, "train": 64, "heldout": 16}},
    "models": {"m-ar": model("autoregressive"), "m-diffusion": {**model("masked_diffusion"), "canvas": 16}},
    "arms": {
        "one": {"model": "ar", "decoder": "autoregressive"},
        "many": {"model": "diffusion", "decoder": "masked_diffusion"},
    },
    "workloads": {
        "w": {
            "data": "d",
            "task": "copy",
            "new_tokens": 16,
            "prompts": 4,
            "models": {"ar": "m-ar", "diffusion": "m-diffusion"},
            "metrics": ["exact"],
        }
    },
    "experiments": {
        "steps": {
            "question": "Does it run?",
            "grids": [
                {
                    "workloads": ["w"],
                    "arms": ["one", "many"],
                    "reference": "one",
                    "sweep": {"steps": [1, 4, 16]},
                }
            ],
        }
    },
    "floors": [],
    "likelihood": None,
}


def overlay(**measure: Any) -> dict[str, Any]:
    """The tiny study as a file's content. measure: keys of that section."""
    usual = {"warmup_passes": 1, "min_samples": 6, "max_samples": 6, "budget_s": 0.2, "prompts": 4}
    return {"include": [], **deepcopy(STUDY), "measure": {**usual, **measure}}


def paper() -> dict[str, Any]:
    """The paper study, its files merged: it has an entry of every kind."""
    return read_study(ROOT, [ROOT / "studies" / "paper.yaml"])[0]


def plan(over: dict[str, Any], root: Path = ROOT) -> Plan:
    return Plan(over, [], root)


def targets(over: dict[str, Any], scores: bool = True) -> list[str]:
    """The records of the study, and the scores."""
    made = plan(over)
    return [*made.records(), *([made.score(cell) for cell in made.outputs.values()] if scores else [])]
