"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, biases, and a tied head.

Its checkpoints store the matrices of a layer as [in, out]; loading transposes them once.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Pair, attend
from pardec.models.architectures.base import Placement, Transformer, initialise_matrices, tapped_layers
from pardec.models.architectures.config import GPT2Config


class GPT2Layer(nn.Module):
    """Attention and feed-forward, each behind a LayerNorm and added to the stream."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        hidden, self.heads = config.hidden, config.heads
        self.norm1, self.norm2 = (nn.LayerNorm(hidden, config.norm_eps) for _ in range(2))
        self.qkv, self.out = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, config.mlp), nn.Linear(config.mlp, hidden)

    def forward(self, x: Tensor, plan: AttentionPlan, pair: Pair | None) -> Tensor:
        """Return the hidden states after this layer, [B, T, hidden]; pair: the layer's cache, written by `plan`."""
        batch, length, hidden = x.shape
        parts = self.qkv(self.norm1(x)).view(batch, length, 3, self.heads, hidden // self.heads)
        query, key, value = parts.transpose(1, 3).unbind(2)
        mixed = attend(query, key, value, plan, pair)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, length, hidden))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class GPT2(Transformer):
    """GPT-2 as a `LanguageModel`; causal, its positions count from the first real token."""

    def __init__(self, config: GPT2Config):
        super().__init__()
        self.config = config
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.positions = nn.Parameter(torch.empty(config.max_positions, config.hidden))
        self.layers = nn.ModuleList([GPT2Layer(config) for _ in range(config.layers)])
        self.norm = nn.LayerNorm(config.hidden, config.norm_eps)
        self.head = None if config.tied else nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.info = config.info()

    def place_tables(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """Do nothing: every table of GPT-2 is a weight."""

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers); biases
        are 0."""
        initialise_matrices(self, self.config.layers, ("out.weight", "down.weight"), generator)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias"):
                    parameter.zero_()

    def embed(self, tokens: Tensor, placement: Placement) -> Tensor:
        """Return the input [B, T, hidden] of the layers.

        Raises:
            ValueError: `places` are given.
        """
        if placement.places is not None:
            raise ValueError("GPT-2 reads its tokens one after another; places are for models that skip some")
        positions = placement.positions
        if positions is None:
            past = placement.past
            positions = torch.arange(past, past + tokens.shape[1], device=tokens.device)
        return F.embedding(tokens, self.embedding) + F.embedding(positions, self.positions)

    def run_layers(
        self,
        x: Tensor,
        positions: slice | Tensor,
        plan: AttentionPlan,
        cache: Cache | None,
        taps: tuple[int, ...] | None,
    ) -> tuple[Tensor, list[Tensor]]:
        pairs = None if cache is None else cache.layers
        return tapped_layers(
            self.layers, taps, x, lambda layer, index, x: layer(x, plan, pairs and pairs[index])
        )

    def normed(self, x: Tensor) -> Tensor:
        return self.norm(x)
