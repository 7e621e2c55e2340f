"""Weights under Hugging Face Llama names, and under ours, where some matrices are fused."""

from __future__ import annotations

from torch import Tensor, cat

from pardec.models.architectures.config import BackboneConfig

OUTER = {
    "embedding": "model.embed_tokens.weight",
    "norm": "model.norm.weight",
    "head": "lm_head.weight",
    "prompt_positions": "model.prompt_positions.weight",
    "canvas_positions": "model.canvas_positions.weight",
    "grid_rows": "model.grid_rows.weight",
    "grid_columns": "model.grid_columns.weight",
    "grid_right": "model.grid_right.weight",
    "grid_below": "model.grid_below.weight",
}
INNER = {
    "input_norm": ["input_layernorm"],
    "post_norm": ["post_attention_layernorm"],
    "qkv": ["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"],
    "out": ["self_attn.o_proj"],
    "gate_up": ["mlp.gate_proj", "mlp.up_proj"],
    "down": ["mlp.down_proj"],
}
BIASED = {"qkv_bias": ["self_attn.q_proj.bias", "self_attn.k_proj.bias", "self_attn.v_proj.bias"]}
NORMED = {"query_norm": ["self_attn.q_norm.weight"], "key_norm": ["self_attn.k_norm.weight"]}


def inner(config: BackboneConfig) -> dict[str, list[str]]:
    """Our name of each weight of a layer to Llama's names of its parts, in the order in which they are fused."""
    found = {ours: [f"{part}.weight" for part in parts] for ours, parts in INNER.items()}
    return found | (BIASED if config.qkv_bias else {}) | (NORMED if config.qk_norm else {})


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
    of_layer = {f"{name}.weight": shape for name, shape in of_layer.items()}
    if config.qkv_bias:
        of_layer |= dict(zip(BIASED["qkv_bias"], [(query,), (key,), (key,)], strict=True))
    if config.qk_norm:
        of_layer |= {part: (config.head_dim,) for parts in NORMED.values() for part in parts}
    for layer in range(config.layers):
        found |= {f"model.layers.{layer}.{name}": shape for name, shape in of_layer.items()}
    return found


def split(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """Our weights under Llama's names, fused matrices taken apart."""
    wanted, of_layer = shapes(config), inner(config)
    found: dict[str, Tensor] = {}
    for name, tensor in state.items():
        if name in OUTER:
            found[OUTER[name]] = tensor
            continue
        _, layer, ours = name.split(".")
        names = [f"model.layers.{layer}.{part}" for part in of_layer[ours]]
        parts = tensor.split([wanted[part][0] for part in names])
        found |= dict(zip(names, parts, strict=True))
    return {name: tensor.detach().contiguous() for name, tensor in found.items()}


def fuse(state: dict[str, Tensor], config: BackboneConfig) -> dict[str, Tensor]:
    """Weights under Llama's names as ours; takes them out of `state`, so that two copies of all never
    exist."""
    found = {ours: state.pop(theirs) for ours, theirs in OUTER.items() if theirs in state}
    for layer in range(config.layers):
        for ours, parts in inner(config).items():
            tensors = [state.pop(f"model.layers.{layer}.{part}") for part in parts]
            found[f"layers.{layer}.{ours}"] = tensors[0] if len(tensors) == 1 else cat(tensors)
    return found
