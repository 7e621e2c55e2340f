"""A GPT-2's folder. Its matrices are stored as [in, out]; loading transposes them once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pardec.common.files import read_json
from pardec.data.ends import read_ends
from pardec.models.architectures.config import GPT2Config
from pardec.models.architectures.gpt2 import GPT2
from pardec.models.checkpoints.drawn import draw_model, is_drawn
from pardec.models.checkpoints.formats.gpt2 import GPT2Format
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors, weight_files

ROOT = "transformer."
SPARE = (".attn.bias", ".attn.masked_bias")
"""Causal masks, which old checkpoints store among the weights."""
LAYER = {
    "norm1": "ln_1",
    "qkv": "attn.c_attn",
    "out": "attn.c_proj",
    "norm2": "ln_2",
    "up": "mlp.c_fc",
    "down": "mlp.c_proj",
}
MATRICES = ("qkv", "out", "up", "down")


class GPT2Checkpoint(Checkpoint):
    """Folders of GPT-2 models."""

    model = GPT2

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> GPT2:
        config = read_config(folder)
        if is_drawn(folder):
            return draw_model(GPT2, folder, config, device, dtype)
        with torch.device("meta"):
            model = GPT2(config)
        root = _root(folder)
        tensors = read_tensors(folder, *cls.wanted(folder), device)
        state = {}
        for name, (ours, _) in shapes(model).items():
            tensor = tensors.pop(_with_root(name, root)).to(dtype)
            state[ours] = tensor.T.contiguous() if _turned(ours) else tensor
        model.load_state_dict(state, assign=True)
        return model

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        config, root = read_config(folder), _root(folder)
        with torch.device("meta"):
            weights = shapes(GPT2(config))
        spare = (*SPARE, "lm_head.weight") if config.tied else SPARE
        return {_with_root(name, root): shape for name, (_, shape) in weights.items()}, spare

    @classmethod
    def tensors(cls, model: GPT2) -> dict[str, Tensor]:
        state = model.state_dict()
        return {
            name: state[ours].T if _turned(ours) else state[ours] for name, (ours, _) in shapes(model).items()
        }


def read_config(folder: str | Path) -> GPT2Config:
    """Return the shape of the GPT-2 in `folder`.

    Raises:
        UserError: a config.json that is missing, damaged, or of another kind of model.
    """
    path = Path(folder) / "config.json"
    config = GPT2Format.read(read_json(path), str(path))
    return replace(config, stop_ids=tuple(sorted(read_ends(folder) - {config.eos_id})))


def shapes(model: GPT2) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return every weight of a checkpoint under its published name: our name, and its shape there."""
    outer = {"embedding": f"{ROOT}wte.weight", "positions": f"{ROOT}wpe.weight", "head": "lm_head.weight"}
    outer |= {f"norm.{kind}": f"{ROOT}ln_f.{kind}" for kind in ("weight", "bias")}
    weights = {}
    for ours, parameter in model.named_parameters():
        shape = tuple(parameter.shape)
        if ours in outer:
            weights[outer[ours]] = (ours, shape)
            continue
        _, layer, part, kind = ours.split(".")
        name = f"{ROOT}h.{layer}.{LAYER[part]}.{kind}"
        weights[name] = (ours, shape[::-1] if _turned(ours) else shape)
    return weights


def _turned(ours: str) -> bool:
    return ours.endswith(".weight") and ours.split(".")[-2] in MATRICES


def _root(folder: str | Path) -> str:
    """Return the prefix of the names: empty in the first published checkpoints, `transformer.` in later ones."""
    from safetensors import safe_open

    try:
        with safe_open(weight_files(Path(folder))[0], framework="pt") as handle:
            names = set(handle.keys())
    except Exception:  # a damaged file: reading it whole says so properly
        return ROOT
    return "" if "wte.weight" in names or any(name.startswith("h.") for name in names) else ROOT


def _with_root(name: str, root: str) -> str:
    return root + name.removeprefix(ROOT) if name.startswith(ROOT) else name
