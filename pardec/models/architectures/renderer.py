"""The renderer of a two-level hierarchy: one bidirectional model that writes the chunks of a root and the characters
of a chunk, and judges what was written by an energy.

A pass sees all slots of one expansion at once. Each slot holds a token (a mask or noise where nothing is known
yet), to which the condition, gated by the slot's place, the place itself, the level and the time are added. Level 0
turns roots into chunks, level 1 chunks into characters, with the same layers.
"""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan
from pardec.models.architectures.backbone import Layer
from pardec.models.architectures.config import ModelInfo, RendererConfig
from pardec.models.architectures.norm import rms_norm

PAD, EOS, MASK = 0, 2, 3


class Renderer(nn.Module):
    """`expansion0` [roots, C] and `expansion1` [chunks, L] are the hierarchy itself: what it learned from, what its
    outputs are held against, and what a table lookup reads. No pass of the model reads them."""

    def __init__(self, config: RendererConfig):
        super().__init__()
        self.config = config
        shape = config.backbone(PAD, EOS, MASK)
        self.embedding = nn.Parameter(torch.empty(config.vocab_size, config.hidden))
        self.codes = nn.Parameter(torch.empty(config.vocab_size - config.first_chunk, config.hidden))
        self.places = nn.Parameter(torch.empty(sum(config.slots), config.hidden))
        self.gates = nn.Parameter(torch.empty(sum(config.slots), config.hidden))
        self.levels = nn.Parameter(torch.empty(2, config.hidden))
        self.times = nn.Parameter(torch.empty(2, config.hidden))
        self.layers = nn.ModuleList([Layer(shape) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.ones(config.hidden))
        self.judge = nn.Parameter(torch.empty(1, config.hidden))
        roots, chunks = config.vocab_size - config.first_root, config.first_root - config.first_chunk
        self.register_buffer("expansion0", torch.zeros(roots, config.slots[0], dtype=torch.long))
        self.register_buffer("expansion1", torch.zeros(chunks, config.slots[1], dtype=torch.long))
        self.info = info_of(self)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers); the codes of
        the conditions with N(0, 0.5²) and the gates with N(0, 1), so that conditions differ, and each slot reads
        another view of its condition, before anything is learned."""
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith((".out", ".down"))
                    scale = {"codes": 0.5, "gates": 1.0}.get(name) or 0.02 * (damping if residual else 1.0)
                    parameter.normal_(0.0, scale, generator=generator)

    def expansion(self, level: int) -> Tensor:
        """The right expansions of all conditions of a level, [conditions, slots] ids, padded."""
        return self.expansion0 if level == 0 else self.expansion1

    def forward(
        self, tokens: Tensor, conditions: Tensor, level: int, time: Tensor | None = None, energy: bool = False
    ) -> Tensor:
        """One pass.

        tokens: [N, slots] long. conditions: [N] long. time: [N] share of the slots that hold noise, 1 where None.
        Returns logits [N, slots, 1 + classes], class 0 the pad and class i the i-th id that the level writes; with
        energy the energies [N] of `tokens`, the lower the better.
        """
        first = 0 if level == 0 else self.config.slots[0]
        own = slice(first, first + tokens.shape[1])
        at = self.places[own] + self.levels[level]
        # An invalid condition has no code; the decoder tells and throws away what comes of it.
        codes = F.embedding((conditions - self.config.first_chunk).clamp(0, len(self.codes) - 1), self.codes)
        x = F.embedding(tokens, self.embedding) + codes[:, None] * self.gates[own] + at
        if energy:
            x = x + self.times[0]
        else:
            x = x + (self.times[1] if time is None else time[:, None, None] * self.times[1])
        for layer in self.layers:
            x = layer(x, None, None, AttentionPlan(), None)
        x = rms_norm(x, self.norm, 1e-5)
        if energy:
            return F.linear(x, self.judge)[..., 0].mean(-1)
        start, stop = self.config.written(level)
        return F.linear(x, torch.cat([self.embedding[PAD : PAD + 1], self.embedding[start:stop]]))

    def head_classes(
        self, tokens: Tensor, conditions: Tensor, level: int, time: Tensor | None = None, energy: bool = False
    ) -> int:
        """Numbers that `forward` gives for each slot with the same arguments: its work is counted by them."""
        start, stop = self.config.written(level)
        return 1 if energy else 1 + stop - start

    def ids(self, classes: Tensor, level: int) -> Tensor:
        """Classes of `forward` as ids."""
        return torch.where(classes == 0, PAD, classes + (self.config.written(level)[0] - 1))

    def classes(self, ids: Tensor, level: int) -> Tensor:
        """Ids that a level writes as classes of `forward`."""
        return torch.where(ids == PAD, 0, ids - (self.config.written(level)[0] - 1))


def info_of(model: Renderer) -> ModelInfo:
    """Returns the facts of a renderer; its matrices are those of its layers and the embedding, which is its head."""
    matrices = sum(p.numel() for layer in model.layers for p in layer.parameters() if p.dim() == 2)
    return replace(
        model.config.backbone(PAD, EOS, MASK).info(),
        parameters=sum(p.numel() for p in model.parameters()),
        matmul_parameters=matrices + model.embedding.numel(),
    )
