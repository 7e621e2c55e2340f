"""Models whose folder holds a shape and a seed instead of weights."""

from __future__ import annotations

from pathlib import Path

import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.backbone import Backbone
from pardec.models.config import BackboneConfig


def is_drawn(folder: str | Path) -> bool:
    """Whether the model in `folder` has random weights: its config.json says so, and no quality means
    anything."""
    return read_json(Path(folder) / "config.json").get("weights") == "random"


def draw_model(folder: str | Path, config: BackboneConfig, device: str, dtype: torch.dtype) -> Backbone:
    """A model of this shape with weights drawn on `device` from the folder's seed.

    The same seed gives the same weights on one kind of device and precision, not across them.

    Raises:
        UserError: config.json has no seed.
    """
    path = Path(folder) / "config.json"
    seed = read_json(path).get("seed")
    if not isinstance(seed, int):
        raise UserError(path, "says that weights are random and has no seed", "fetch the model again")
    with torch.device("meta"):
        model = Backbone(config)
    # Cast before there is any memory, so that the float32 weights of a large model never exist.
    model = model.to(dtype).to_empty(device=device)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(1.0)
    model.initialise(torch.Generator(device=device).manual_seed(seed))
    model.place_tables(device, dtype)
    return model
