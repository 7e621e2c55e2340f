"""Load a model from its folder, and save one."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.architectures.base import LanguageModel
from pardec.models.checkpoints.configs import architecture_of, config_json
from pardec.models.registry import ARCHITECTURES, QUANTISATIONS

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def load_model(path: str | Path, device: str = "cpu", dtype: str = "float32") -> LanguageModel:
    """Return the model in folder `path`, ready to decode: on `device`, in `dtype`, without gradients.

    Raises:
        UserError: an unknown dtype, or a folder without a complete model; names the file and the fault.
    """
    if dtype not in DTYPES:
        raise UserError(f"precision {dtype!r}", "is not known", f"known: {', '.join(DTYPES)}")
    kind = ARCHITECTURES.load(architecture_of(path))
    model = kind.load(Path(path), device, DTYPES[dtype]).requires_grad_(False).eval()
    model.folder = Path(path)
    how = read_json(Path(path) / "config.json").get("quantise")
    return model if how is None else QUANTISATIONS.load(how)(model, how).eval()


def save_model(model: nn.Module, folder: str | Path) -> None:
    """Write config.json and model.safetensors, each atomically."""
    name = config_json(model.config)["architectures"][0]
    ARCHITECTURES.load(name).save(model, folder)
