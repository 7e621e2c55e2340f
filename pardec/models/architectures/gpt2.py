"""GPT-2 (Radford et al. 2019): learned positions, LayerNorm before each part, biases, and a tied head.

Its checkpoints store the matrices of a layer as [in, out]; loading transposes them once.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair, attend, plan_pass
from pardec.models.architectures.base import LanguageModel, kept
from pardec.models.architectures.config import GPT2Config


class GPT2Layer(nn.Module):
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


class GPT2(LanguageModel):
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
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith(("out.weight", "down.weight"))
                    parameter.normal_(0.0, 0.02 * (damping if residual else 1.0), generator=generator)
                elif name.endswith("bias"):
                    parameter.zero_()

    def forward(
        self,
        tokens: Tensor,
        pad: Tensor | None = None,
        cache: Cache | None = None,
        keep: slice | Tensor | None = None,
        canvas_start: int | None = None,
        places: Tensor | None = None,
        layout: Layout | None = None,
        taps: tuple[int, ...] | None = None,
    ) -> Tensor | tuple[Tensor, Tensor]:
        if places is not None:
            raise ValueError("GPT-2 reads its tokens one after another; places are for models that skip some")
        length = tokens.shape[1]
        past = 0 if cache is None else cache.length
        filled = past + length if layout is None else layout.filled
        # A tree has more columns than positions; a layout gives its positions explicitly.
        if layout is None and filled > self.config.max_positions:
            raise ValueError(f"{filled} positions asked of a model with {self.config.max_positions}")
        if cache is not None and filled > cache.size:
            raise ValueError(f"{filled} positions asked of a cache of {cache.size}")
        if layout is not None:
            positions = layout.positions
        else:
            positions = torch.arange(past, past + length, device=tokens.device)
            if pad is not None:
                positions = (positions - pad[:, None]).clamp(min=0)
        plan = plan_pass(True, pad, past, length, tokens.device, layout)
        x = F.embedding(tokens, self.embedding) + F.embedding(positions, self.positions)
        tapped = []
        for index, layer in enumerate(self.layers):
            x = layer(x, plan, None if cache is None else cache.layers[index])
            if taps is not None and index in taps:
                tapped.append(x)
        if cache is not None:
            cache.length = filled
        logits = self.read(self.norm(kept(x, keep)))
        return logits if taps is None else (logits, torch.cat(tapped, -1))

    def read(self, x: Tensor) -> Tensor:
        """Return logits [..., V] of normed hidden states [..., hidden]: the output head alone."""
        return F.linear(x, self.embedding if self.head is None else self.head)
