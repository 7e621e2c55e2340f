"""A copy task and a small model that has learned it, for tests of what is trained from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.data.prepare import prepare
from pardec.models.sources.train import TrainSettings
from pardec.models.training.train import train_model


def copying(folder: Path, name: str, items: tuple[int, int], examples: int, steps: int) -> dict[str, Any]:
    """Write `folder`/data and an autoregressive model `folder`/`name` trained on it; return its recipe without the
    objective.

    items: least and most letters to copy.
    """
    task = {"copy": {"min_items": items[0], "max_items": items[1], "items": "letters"}}
    prepare({"source": "tasks", "tasks": task, "train": examples, "heldout": 20}, 0, folder / "data")
    size = {"hidden": 32, "layers": 2, "heads": 2, "mlp": 48, "max_positions": 64}
    recipe = {"source": "train", "data": "copy", "size": size, "steps": steps, "batch": 32}
    settings = TrainSettings.model_validate({**recipe, "objective": {"family": "autoregressive"}})
    train_model(name, settings, folder / "data", 1, folder / name)
    return recipe
