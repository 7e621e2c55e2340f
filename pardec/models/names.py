"""Weights under Hugging Face Llama names, and under ours, where some matrices are fused."""

from __future__ import annotations

from torch import Tensor, cat

from pardec.models.config import BackboneConfig

OUTER = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "prompt_positions": "model.prompt_positions.weight",
    "canvas_positions": "model.canvas_positions.weight",
    "grid_rows": "model.grid_rows.weight",
    "grid_columns": "model.grid_columns.weight",
}
INNER = {
    "input_norm": ["input_layernorm"],
    "post_norm": ["post_attention_layernorm"],
    "qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "out": ["self_attn.o_proj"],
    "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
    "down": ["mlp.down_proj"],
}


def shapes(config: BackboneConfig) -> dict[str, tuple[int, ...]]:
    """Every weight of a checkpoint of this shape: name to shape."""
    hidden, mlp = config.hidden, config.mlp
    query, key = config.heads * config.head_dim, config.kv_heads * config.head_dim
    rows = {"embedding": config.vocab_size, "head": 0 if config.tied else config.vocab_size}
    rows |= {name: getattr(config, name) for name in OUTER if hasattr(config, name)}
    found: dict[str, tuple[int, ...]] = {
        OUTER[name]: (count, hidden) for name, count in rows.items() if count
    }
    found[OUTER["norm"]] = (hidden,)
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
    for layer in range(config.layers):
        found |= {f"model.layers.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    return found


def split(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """Our weights under Llama's names, fused matrices taken apart."""
    wanted = shapes(config)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in OUTER:
            found[OUTER[name]] = tensor
            continue
        _, layer, inner = name.split(".")
        names = [f"model.layers.{layer}.{part}.weight" for part in INNER[inner]]
        parts = tensor.split([wanted[part][0] for part in names])
        found |= dict(zip(names, parts, strict=True))
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def fuse(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """Weights under Llama's names as ours; takes them out of `state`, so that two copies of all never
    exist."""
    found = {ours: state.pop(theirs) for ours, theirs in OUTER.items() if theirs in state}
    for layer in range(config.layers):
        for ours, parts in INNER.items():
            tensors = [state.pop(f"model.layers.{layer}.{part}.weight") for part in parts]
            found[f"layers.{layer}.{ours}"] = tensors[0] if len(tensors) == 1 else cat(tensors)
    return found
