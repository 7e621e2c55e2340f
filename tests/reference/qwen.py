"""Qwen's forward pass in plain loops over heads, in float64, from weights under their published names; tokens see the
whole of their block and all blocks before it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from tests.reference.llada import _norm, _turn


def logits(weights: dict[str, Tensor], config: dict, tokens: list[int], block: int) -> Tensor:
    """Return logits [T, V] of one row without padding, in blocks of `block` tokens from the first one on."""
    w = {name.removeprefix("model."): tensor.double() for name, tensor in weights.items()}
    heads, eps = config["num_attention_heads"], config["rms_norm_eps"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    shared = heads // config["num_key_value_heads"]
    theta = config.get("rope_theta") or config["rope_parameters"]["rope_theta"]
    number = torch.arange(len(tokens)) // block
    hidden_from = number[None] > number[:, None]
    x = w["embed_tokens.weight"][tokens]
    for layer in range(config["num_hidden_layers"]):
        at = f"layers.{layer}."
        h = _norm(x, w[at + "input_layernorm.weight"], eps)
        q, k, v = (_project(w, h, f"{at}self_attn.{part}_proj") for part in "qkv")
        mixed = []
        for head in range(heads):
            place = slice(head // shared * width, (head // shared + 1) * width)
            query, key = q[:, head * width : (head + 1) * width], k[:, place]
            if f"{at}self_attn.q_norm.weight" in w:
                query = _norm(query, w[f"{at}self_attn.q_norm.weight"], eps)
                key = _norm(key, w[f"{at}self_attn.k_norm.weight"], eps)
            scores = _turn(query, theta) @ _turn(key, theta).T / math.sqrt(width)
            mixed.append(scores.masked_fill(hidden_from, -math.inf).softmax(-1) @ v[:, place])
        x = x + _project(w, torch.cat(mixed, 1), f"{at}self_attn.o_proj")
        h = _norm(x, w[at + "post_attention_layernorm.weight"], eps)
        gate = _project(w, h, f"{at}mlp.gate_proj")
        x = x + _project(w, gate * gate.sigmoid() * _project(w, h, f"{at}mlp.up_proj"), f"{at}mlp.down_proj")
    return _norm(x, w["norm.weight"], eps) @ w["lm_head.weight"].T


def _project(w: dict[str, Tensor], x: Tensor, name: str) -> Tensor:
    made = x @ w[f"{name}.weight"].T
    return made + w[f"{name}.bias"] if f"{name}.bias" in w else made
