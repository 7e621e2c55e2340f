"""One Llama-style transformer for every family: causal or bidirectional, with or without learned positions.

RMSNorm, rotary positions, SwiGLU, grouped key-value heads (Touvron et al. 2023, arXiv:2302.13971; Ainslie et al. 2023,
arXiv:2305.13245). Queries, keys and values share one fused matrix, and so do the gate and the up projection: a
one-token step of a small model is bound by the number of operations, not by their size.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair, attend, rotate
from pardec.models.architectures.base import (
    Placement,
    Transformer,
    initialise_matrices,
    store_rope_tables,
    tapped_layers,
)
from pardec.models.architectures.config import BackboneConfig
from pardec.models.architectures.norm import rms_norm
from pardec.models.architectures.positions import LearnedPositions


def project(x: Tensor, weight: Tensor | nn.Module, bias: Tensor | None = None) -> Tensor:
    """Return x [..., in] times a matrix [out, in], plain or quantised (`pardec.models.engines.quantise`)."""
    return weight(x, bias) if isinstance(weight, nn.Module) else F.linear(x, weight, bias)


def feed_forward(x: Tensor, gate_up: Tensor | nn.Module, down: Tensor | nn.Module) -> Tensor:
    """Return the result [..., hidden] of SwiGLU (Shazeer 2020, arXiv:2002.05202). x: [..., hidden]. gate_up: [2 * mlp,
    hidden], down: [hidden, mlp], as in `project`."""
    gate, up = project(x, gate_up).chunk(2, -1)
    return project(F.silu(gate) * up, down)


class Layer(nn.Module):
    """Attention and feed-forward, each behind a norm and added to the stream."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.eps, self.mlp = config.norm_eps, config.mlp
        self.input_norm = nn.Parameter(torch.ones(config.hidden))
        self.post_norm = nn.Parameter(torch.ones(config.hidden))
        width = config.head_dim * config.heads
        fused = width + 2 * config.head_dim * config.kv_heads
        self.qkv = nn.Parameter(torch.empty(fused, config.hidden))
        self.qkv_bias = nn.Parameter(torch.zeros(fused)) if config.qkv_bias else None
        self.query_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.key_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.out = nn.Parameter(torch.empty(config.hidden, width))
        self.gate_up = nn.Parameter(torch.empty(2 * config.mlp, config.hidden))
        self.down = nn.Parameter(torch.empty(config.hidden, config.mlp))

    def forward(
        self, x: Tensor, cos: Tensor | None, sin: Tensor | None, plan: AttentionPlan, pair: Pair | None
    ) -> Tensor:
        """Return the hidden states after this layer, [B, T, hidden].

        x: [B, T, hidden]. cos, sin: [B or 1, T, 1, head_dim] or None. pair: the layer's cache, written by `plan`.
        """
        batch, length, _ = x.shape
        normed = rms_norm(x, self.input_norm, self.eps)
        qkv = project(normed, self.qkv, self.qkv_bias).view(batch, length, -1, self.head_dim)
        turned = qkv[:, :, : self.heads + self.kv_heads]
        if self.query_norm is not None:
            turned = self._norm_heads(turned)
        if cos is not None:
            turned = rotate(turned, cos, sin)
        query, key = turned.transpose(1, 2).split([self.heads, self.kv_heads], 1)
        value = qkv[:, :, self.heads + self.kv_heads :].transpose(1, 2)
        mixed = attend(query, key, value, plan, pair)
        x = x + project(mixed.transpose(1, 2).reshape(batch, length, -1), self.out)
        return x + feed_forward(rms_norm(x, self.post_norm, self.eps), self.gate_up, self.down)

    def _norm_heads(self, x: Tensor) -> Tensor:
        """Return queries and keys [B, T, heads + kv_heads, head_dim], each head's vector normed."""
        query, key = x.split([self.heads, self.kv_heads], 2)
        query = rms_norm(query, self.query_norm, self.eps)
        return torch.cat([query, rms_norm(key, self.key_norm, self.eps)], 2)


class Backbone(Transformer):
    """The transformer as a `LanguageModel`."""

    def __init__(self, config: BackboneConfig):
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        positions = config.positions
        self.positions = None if positions is None else LearnedPositions(positions, config.hidden)
        self.layers = nn.ModuleList([Layer(config) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.ones(config.hidden))
        self.head = None if config.tied else nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.info = config.info()
        self.place_tables("cpu", torch.float32)

    def place_tables(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """Compute the rotary tables, which are not weights, on `device`: in float32, then cast to `dtype`."""
        table_dtype = torch.float32 if self.config.rope_float32 else dtype
        store_rope_tables(self, self.config, device, table_dtype)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers)."""
        initialise_matrices(self, self.config.layers, (".out", ".down"), generator)
        with torch.no_grad():
            if self.positions is not None:
                self.positions.initialise_waves()

    def embed(self, tokens: Tensor, placement: Placement) -> Tensor:
        x = F.embedding(tokens, self.embedding)
        return x if self.positions is None else x + self.positions(tokens, placement)

    def extent(self, tokens: Tensor, cache: Cache | None, layout: Layout | None) -> tuple[int, int]:
        if layout is not None and self.positions is not None:
            raise ValueError("a model with learned positions reads plain sequences only")
        return super().extent(tokens, cache, layout)

    def run_layers(
        self,
        x: Tensor,
        positions: slice | Tensor,
        plan: AttentionPlan,
        cache: Cache | None,
        taps: tuple[int, ...] | None,
    ) -> tuple[Tensor, list[Tensor]]:
        cos = sin = None
        if self.config.rotary:
            cos, sin = self.cos[positions], self.sin[positions]
        pairs = None if cache is None else cache.layers
        return tapped_layers(
            self.layers, taps, x, lambda layer, index, x: layer(x, cos, sin, plan, pairs and pairs[index])
        )

    def normed(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.norm, self.config.norm_eps)
