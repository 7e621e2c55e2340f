"""A draft's folder: config.json and weights under the published names, fused matrices taken apart."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from pardec.common.files import read_json
from pardec.models.architectures.config import DraftConfig
from pardec.models.architectures.draft import DraftModel
from pardec.models.checkpoints.drawn import draw_model, is_drawn
from pardec.models.checkpoints.formats.dflash import DFlash
from pardec.models.checkpoints.fusion import Names
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors

NAMES = Names(
    outer={"fc": "fc.weight", "hidden_norm": "hidden_norm.weight", "norm": "norm.weight"},
    inner={
        "input_norm": ["input_layernorm.weight"],
        "post_norm": ["post_attention_layernorm.weight"],
        "query": ["self_attn.q_proj.weight"],
        "key_value": ["self_attn.k_proj.weight", "self_attn.v_proj.weight"],
        "query_norm": ["self_attn.q_norm.weight"],
        "key_norm": ["self_attn.k_norm.weight"],
        "out": ["self_attn.o_proj.weight"],
        "gate_up": ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
        "down": ["mlp.down_proj.weight"],
    },
    layers="layers",
)


class DraftCheckpoint(Checkpoint):
    """Folders of DFlash drafts."""

    model: type[DraftModel] = DraftModel
    format: Any = DFlash
    names = NAMES

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> DraftModel:
        config = cls.config(folder)
        if is_drawn(folder):
            return draw_model(cls.model, folder, config, device, dtype)
        with torch.device("meta"):
            model = cls.model(config)
        state = read_tensors(folder, *cls.wanted(folder), device)
        model.load_state_dict(
            cls.names.fuse({name: tensor.to(dtype) for name, tensor in state.items()}), assign=True
        )
        model.place_tables(device, dtype)
        return model

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        with torch.device("meta"):
            model = cls.model(cls.config(folder))
        return {name: tuple(tensor.shape) for name, tensor in cls.tensors(model).items()}, ()

    @classmethod
    def config(cls, folder: Path) -> DraftConfig:
        where = folder / "config.json"
        return cls.format.read(read_json(where), str(where))

    @classmethod
    def tensors(cls, model: DraftModel) -> dict[str, Tensor]:
        return cls.names.split(model.state_dict())
