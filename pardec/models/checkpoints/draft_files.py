"""A draft's folder: config.json and weights under the published names, fused matrices taken apart."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, cat

from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json
from pardec.models.architectures.base import ModelInfo
from pardec.models.architectures.draft import DraftModel
from pardec.models.architectures.draft_config import DraftConfig
from pardec.models.checkpoints import files as checkpoint
from pardec.models.checkpoints.drawn import draw_model, is_drawn

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


def write(model: DraftModel, folder: str | Path) -> None:
    """Write config.json and model.safetensors, both whole or not at all."""
    folder = Path(folder)
    with atomic(folder / checkpoint.WEIGHTS) as temporary:
        save_file(split(model.state_dict()), temporary, metadata={"format": "pt"})
    write_json(folder / "config.json", model.config.to_json())


def read(folder: str | Path, device: str, dtype: torch.dtype) -> DraftModel:
    """The draft in `folder`, on `device` and in `dtype`, or one drawn at random where the folder says so.

    Raises:
        UserError: a missing or damaged file, or a weight that is missing, unknown or of the wrong shape.
    """
    folder = Path(folder)
    config = DraftConfig.from_json(read_json(folder / "config.json"), str(folder / "config.json"))
    if is_drawn(folder):
        return draw_model(DraftModel, folder, config, device, dtype)
    with torch.device("meta"):
        model = DraftModel(config)
    wanted = {name: tuple(tensor.shape) for name, tensor in split(model.state_dict()).items()}
    state = checkpoint.read_tensors(folder, wanted, device)
    model.load_state_dict(fuse({name: tensor.to(dtype) for name, tensor in state.items()}), assign=True)
    model.place_tables(device, dtype)
    return model


def split(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Our weights under the published names."""
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in OUTER:
            found[OUTER[name]] = tensor
            continue
        _, layer, inner = name.split(".")
        parts = INNER[inner]
        for part, piece in zip(parts, tensor.chunk(len(parts)), strict=True):
            found[f"layers.{layer}.{part}.weight"] = piece
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def fuse(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under the published names as ours."""
    found = {ours: state[theirs] for ours, theirs in OUTER.items()}
    layers = {name.split(".")[1] for name in state if name.startswith("layers.")}
    for layer in layers:
        for ours, parts in INNER.items():
            names = [f"layers.{layer}.{part}.weight" for part in parts]
            if names[0] in state:
                tensors = [state[name] for name in names]
                found[f"layers.{layer}.{ours}"] = tensors[0] if len(tensors) == 1 else cat(tensors)
    return found


def fits(draft: DraftModel, info: ModelInfo) -> None:
    """Check that `draft` can read the target that `info` describes.

    Raises:
        UserError: another width or vocabulary, or layers that the target does not have.
    """
    config = draft.config
    for what, own, other in (
        ("width", config.hidden, info.hidden),
        ("vocabulary", config.vocab_size, info.vocab_size),
        ("count of target layers", config.target_layers, info.layers),
    ):
        if own != other:
            raise UserError(
                "companion draft",
                f"was made for a target whose {what} is {own}, not {other}",
                "give the draft of this target",
            )
    if max(config.taps) >= info.layers:
        raise UserError("companion draft", f"reads layer {max(config.taps)}", "give the draft of this target")
