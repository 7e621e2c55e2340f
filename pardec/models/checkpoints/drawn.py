"""Models whose folder has a shape and a seed instead of weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.architectures.base import LanguageModel


def is_drawn(folder: str | Path) -> bool:
    """Return whether the model in `folder` has random weights (by its config.json), so that quality is meaningless."""
    return read_json(Path(folder) / "config.json").get("weights") == "random"


def draw_model(
    kind: type[LanguageModel], folder: str | Path, config: Any, device: str, dtype: torch.dtype
) -> LanguageModel:
    """Return a model of this class and configuration with weights drawn on `device` from the folder's seed.

    The same seed gives the same weights on one kind of device and in one precision, not across them.

    Raises:
        UserError: config.json has no seed.
    """
    path = Path(folder) / "config.json"
    seed = read_json(path).get("seed")
    if not isinstance(seed, int):
        raise UserError(path, "says that weights are random and has no seed", "fetch the model again")
    with torch.device("meta"):
        model = kind(config)
    # Cast before memory is allocated, so that the float32 weights of a large model never exist.
    model = model.to(dtype).to_empty(device=device)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(0.0 if name.endswith("bias") else 1.0)
    model.initialise(torch.Generator(device=device).manual_seed(seed))
    model.place_tables(device, dtype)
    return model
