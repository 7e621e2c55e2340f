"""Loading a model from its folder, for decoding."""

from __future__ import annotations

from pathlib import Path

import torch

from pardec.common.errors import UserError
from pardec.models import checkpoint, names
from pardec.models.backbone import Backbone
from pardec.models.drawn import draw_model, is_drawn

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(path: str | Path, device: str = "cpu", dtype: str = "float32") -> Backbone:
    """The model in folder `path`, ready to decode: on `device`, in `dtype`, without gradients.

    Raises:
        UserError: an unknown dtype, or a folder that holds no whole model; names the file and what is wrong.
    """
    if dtype not in DTYPES:
        raise UserError(f"precision {dtype!r}", "is not known", f"known: {', '.join(DTYPES)}")
    config = checkpoint.read_config(path)
    if is_drawn(path):
        return draw_model(path, config, device, DTYPES[dtype]).requires_grad_(False).eval()
    state = checkpoint.read_weights(path, config, device)
    for name in state:
        state[name] = state[name].to(DTYPES[dtype])
    with torch.device("meta"):
        model = Backbone(config)
    model.load_state_dict(names.fuse(state, config), assign=True)
    model.place_tables(device, DTYPES[dtype])
    return model.requires_grad_(False).eval()
