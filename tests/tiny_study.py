"""A study of four timed cells on models hardly trained: for tests of what happens to a run, not of what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from pardec.study.load import lay_over
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


def overlay(config: Path = ROOT / "config.yaml", **measure: Any) -> dict[str, Any]:
    """What makes `config` the tiny study: its own entries are taken out. measure: keys of that section."""
    base = yaml.safe_load(config.read_text())
    emptied = {
        section: dict.fromkeys(base[section])
        for section in ("data", "models", "arms", "workloads", "experiments")
    }
    usual = {"warmup_passes": 1, "min_samples": 6, "max_samples": 6, "budget_s": 0.2, "prompts": 4}
    return lay_over(emptied, STUDY) | {"measure": {**usual, **measure}}


def plan(over: dict[str, Any], root: Path = ROOT) -> Plan:
    return Plan(lay_over(yaml.safe_load((root / "config.yaml").read_text()), over), [], root)


def targets(over: dict[str, Any], scores: bool = True) -> list[str]:
    """The records of the study, and the scores."""
    made = plan(over)
    return [*made.records(), *([made.score(cell) for cell in made.outputs.values()] if scores else [])]
