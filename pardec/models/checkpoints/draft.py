"""A draft's folder: config.json and weights under the published names, fused matrices taken apart."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, cat

from pardec.common.files import read_json
from pardec.models.architectures.draft import DraftModel
from pardec.models.checkpoints.drawn import draw_model, is_drawn
from pardec.models.checkpoints.formats.dflash import DFlash
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors

OUTER = {"fc": "fc.weight", "hidden_norm": "hidden_norm.weight", "norm": "norm.weight"}
INNER = {
    "input_norm": ["input_layernorm"],
    "post_norm": ["post_attention_layernorm"],
    "query": ["self_attn.q_proj"],
    "key_value": ["self_attn.k_proj", "self_attn.v_proj"],
    "query_norm": ["self_attn.q_norm"],
    "key_norm": ["self_attn.k_norm"],
    "out": ["self_attn.o_proj"],
    "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
    "down": ["mlp.down_proj"],
}


class DraftCheckpoint(Checkpoint):
    model = DraftModel

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> DraftModel:
        where = folder / "config.json"
        config = DFlash.read(read_json(where), str(where))
        if is_drawn(folder):
            return draw_model(DraftModel, folder, config, device, dtype)
        with torch.device("meta"):
            model = DraftModel(config)
        state = read_tensors(folder, *cls.wanted(folder), device)
        model.load_state_dict(fuse({name: tensor.to(dtype) for name, tensor in state.items()}), assign=True)
        model.place_tables(device, dtype)
        return model

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        where = folder / "config.json"
        with torch.device("meta"):
            model = DraftModel(DFlash.read(read_json(where), str(where)))
        return {name: tuple(tensor.shape) for name, tensor in split(model.state_dict()).items()}, ()

    @classmethod
    def tensors(cls, model: DraftModel) -> dict[str, Tensor]:
        return split(model.state_dict())


def split(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights by the published names."""
    weights: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in OUTER:
            weights[OUTER[name]] = tensor
            continue
        _, layer, inner = name.split(".")
        parts = INNER[inner]
        for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
            weights[f"layers.{layer}.{part}.weight"] = piece
    return {name: tensor.detach().contiguous() for name, tensor in weights.items()}


def fuse(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return our weights from those by the published names."""
    weights = {ours: state[theirs] for ours, theirs in OUTER.items()}
    layers = {name.split(".")[1] for name in state if name.startswith("layers.")}
    for layer in layers:
        for ours, parts in INNER.items():
            names = [f"layers.{layer}.{part}.weight" for part in parts]
            if names[0] in state:
                tensors = [state[name] for name in names]
                weights[f"layers.{layer}.{ours}"] = tensors[0] if len(tensors) == 1 else cat(tensors)
    return weights
