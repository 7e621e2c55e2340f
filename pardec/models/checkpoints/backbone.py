"""A backbone's folder: weights by the names of its format, and by ours, with some matrices fused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.data.ends import read_ends
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.config import BackboneConfig
from pardec.models.checkpoints.configs import format_of
from pardec.models.checkpoints.drawn import draw_model, is_drawn
from pardec.models.checkpoints.formats.base import Format
from pardec.models.checkpoints.fusion import Names
from pardec.models.checkpoints.tensors import Checkpoint, read_tensors

OUTER = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "positions.prompt": "model.prompt_positions.weight",
    "positions.canvas": "model.canvas_positions.weight",
    "positions.rows": "model.grid_rows.weight",
    "positions.columns": "model.grid_columns.weight",
    "positions.right": "model.grid_right.weight",
    "positions.below": "model.grid_below.weight",
}
BIASES = ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]
NORMS = {"query_norm": ["self_attn.q_norm.weight"], "key_norm": ["self_attn.k_norm.weight"]}
NAMES = Names(
    OUTER,
    inner={
        "input_norm": ["input_layernorm.weight"],
        "post_norm": ["post_attention_layernorm.weight"],
        "qkv": ["self_attn.q_proj.weight", "self_attn.k_proj.weight", "self_attn.v_proj.weight"],
        "qkv_bias": BIASES,
        **NORMS,
        "out": ["self_attn.o_proj.weight"],
        "gate_up": ["mlp.gate_proj.weight", "mlp.up_proj.weight"],
        "down": ["mlp.down_proj.weight"],
    },
    layers="model.layers",
)
"""Llama's names."""


class BackboneCheckpoint(Checkpoint):
    """Folders of Llama-style models, in any of their formats."""

    model = Backbone

    @classmethod
    def load(cls, folder: Path, device: str, dtype: torch.dtype) -> Backbone:
        config = read_backbone_config(folder)
        if is_drawn(folder):
            return draw_model(Backbone, folder, config, device, dtype)
        state = read_weights(folder, config, device)
        for name in state:
            state[name] = state[name].to(dtype)
        with torch.device("meta"):
            model = Backbone(config)
        model.load_state_dict(NAMES.fuse(state), assign=True)
        model.place_tables(device, dtype)
        return model

    @classmethod
    def wanted(cls, folder: Path) -> tuple[dict[str, tuple[int, ...]], tuple[str, ...]]:
        config, form = read_backbone_config(folder), _format(folder)
        # Tied checkpoints of other tools may carry the head a second time.
        spare = (*form.spare, form.name(OUTER["head"])) if config.tied else form.spare
        return {form.name(name): shape for name, shape in shapes(config).items()}, spare

    @classmethod
    def tensors(cls, model: Backbone) -> dict[str, Tensor]:
        return split(model.state_dict(), model.config)


def read_backbone_config(folder: str | Path) -> BackboneConfig:
    """Return the shape of the model in `folder`, with every token that ends a text.

    Raises:
        UserError: no such folder, or a config.json that is missing, damaged, or of another kind of model.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "is not a folder", "give the folder of a model, with config.json in it")
    path = folder / "config.json"
    values = read_json(path)
    form = format_of(values, str(path))
    if not form.backbone:
        kind = values.get("model_type")
        raise UserError(path, f"describes a {kind!r} model", "name its own architecture in `architectures`")
    config = form.read(values, str(path))
    return replace(config, stop_ids=tuple(sorted(read_ends(folder) - {config.eos_id})))


def read_weights(folder: str | Path, config: BackboneConfig, device: str = "cpu") -> dict[str, Tensor]:
    """Return all weights of the backbone in `folder`, by Llama's names, checked against `config`.

    Raises:
        UserError: a missing, damaged or pickled file, or a weight that is missing, unknown or of the wrong
        shape.
    """
    form = _format(folder)
    theirs = {form.name(name): name for name in shapes(config)}
    tensors = read_tensors(folder, *BackboneCheckpoint.wanted(Path(folder)), device)
    return {theirs[name]: tensors.pop(name) for name in list(tensors)}


def _format(folder: str | Path) -> type[Format]:
    path = Path(folder) / "config.json"
    return format_of(read_json(path), str(path))


def shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    """Return the name and shape of every weight of a checkpoint with this configuration."""
    hidden, mlp = config.hidden, config.mlp
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    rows = {"embedding": config.vocab_size, "head": 0 if config.tied else config.vocab_size}
    if config.positions is not None:
        rows |= {"positions.prompt": config.positions.prompt, "positions.canvas": config.positions.canvas}
        if grid := config.positions.grid:
            rows |= {"positions.rows": grid.rows, "positions.columns": grid.columns}
            rows |= {"positions.right": grid.ends, "positions.below": grid.ends}
    weights: dict[str, tuple[int, ...]] = {
        OUTER[name]: (count, hidden) for name, count in rows.items() if count
    }
    weights[OUTER["norm"]] = (hidden,)
    of_layer = {
        "self_attn.q_proj": (query, hidden),
        "self_attn.k_proj": (key, hidden),
        "self_attn.v_proj": (key, hidden),
        "self_attn.o_proj": (hidden, query),
        "mlp.gate_proj": (mlp, hidden),
        "mlp.up_proj": (mlp, hidden),
        "mlp.down_proj": (hidden, mlp),
        "input_layernorm": (hidden,),
        "post_attention_layernorm": (hidden,),
    }
    of_layer = {f"{name}.weight": shape for name, shape in of_layer.items()}
    if config.qkv_bias:
        of_layer |= dict(zip(BIASES, [(query,), (key,), (key,)], strict=True))
    if config.qk_norm:
        of_layer |= {part: (config.head_dim,) for parts in NORMS.values() for part in parts}
    for layer in range(config.layers):
        weights |= {f"model.layers.{layer}.{name}": shape for name, shape in of_layer.items()}
    return weights


def split(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """Return our weights by Llama's names, with fused matrices split."""
    return NAMES.split(state, {name: shape[0] for name, shape in shapes(config).items()})
