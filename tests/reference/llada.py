"""LLaDA's forward pass in plain loops over heads, in float64, from weights under their published names."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def logits(weights: dict[str, Tensor], config: dict, tokens: list[int]) -> Tensor:
    """Return logits [T, V] of one row without padding; every position sees every position."""
    w = {name.removeprefix("model.transformer."): tensor.double() for name, tensor in weights.items()}
    heads, width = config["n_heads"], config["d_model"] // config["n_heads"]
    shared = heads // config["n_kv_heads"]
    x = w["wte.weight"][tokens]
    for layer in range(config["n_layers"]):
        at = f"blocks.{layer}."
        h = _norm(x, w[at + "attn_norm.weight"], config["rms_norm_eps"])
        q, k, v = (h @ w[f"{at}{part}_proj.weight"].T for part in "qkv")
        mixed = []
        for head in range(heads):
            query = _turn(q[:, head * width : (head + 1) * width], config["rope_theta"])
            place = slice(head // shared * width, (head // shared + 1) * width)
            key, value = _turn(k[:, place], config["rope_theta"]), v[:, place]
            mixed.append((query @ key.T / math.sqrt(width)).softmax(-1) @ value)
        x = x + torch.cat(mixed, 1) @ w[at + "attn_out.weight"].T
        h = _norm(x, w[at + "ff_norm.weight"], config["rms_norm_eps"])
        gate = h @ w[at + "ff_proj.weight"].T
        x = x + (gate * gate.sigmoid() * (h @ w[at + "up_proj.weight"].T)) @ w[at + "ff_out.weight"].T
    x = _norm(x, w["ln_f.weight"], config["rms_norm_eps"])
    return x @ w["wte.weight" if config["weight_tying"] else "ff_out.weight"].T


def _norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return x / (x.square().mean(-1, keepdim=True) + eps).sqrt() * weight


def _turn(x: Tensor, theta: float) -> Tensor:
    """Turn the pairs (i, i + half) of each vector by its position."""
    half = x.shape[1] // 2
    rates = theta ** (-torch.arange(half, dtype=torch.float64) / half)
    angle = torch.arange(len(x), dtype=torch.float64)[:, None] * rates
    a, b = x[:, :half], x[:, half:]
    return torch.cat([a * angle.cos() - b * angle.sin(), a * angle.sin() + b * angle.cos()], 1)
