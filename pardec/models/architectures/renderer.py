"""The renderer of a two-level hierarchy: one bidirectional model that writes the chunks of a root and the characters
of a chunk, and scores an expansion by an energy.

A pass reads all slots of one expansion at once. The input of a slot is the sum of its token (a mask or noise where it
is unknown), the condition gated by the slot, and vectors of slot, level and time. Level 0 expands roots into chunks,
level 1 chunks into characters, with the same layers.
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
    """The renderer, with the hierarchy as buffers `expansion0` [roots, C] and `expansion1` [chunks, L]: its training
    data, the answers for its scores, and the table of a lookup decoder. No pass of the model reads them."""

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
        the conditions with N(0, 0.5²) and the gates with N(0, 1), so that conditions differ before training, and so
        do the slots' views of one condition."""
        damping = 1 / math.sqrt(2 * self.config.layers)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.dim() == 2:
                    residual = name.endswith((".out", ".down"))
                    scale = {"codes": 0.5, "gates": 1.0}.get(name) or 0.02 * (damping if residual else 1.0)
                    parameter.normal_(0.0, scale, generator=generator)

    def expansion(self, level: int) -> Tensor:
        """Return the right expansions of all conditions of a level, [conditions, slots] ids, padded."""
        return self.expansion0 if level == 0 else self.expansion1

    def forward(
        self, tokens: Tensor, conditions: Tensor, level: int, time: Tensor | None = None, energy: bool = False
    ) -> Tensor:
        """Return logits [N, slots, 1 + classes], class 0 the pad and class i the i-th id that the level writes; with
        `energy` the energies [N] of `tokens`, lower is better.

        tokens: [N, slots] long. conditions: [N] long. time: [N], the share of slots with noise; None means 1.
        """
        first = 0 if level == 0 else self.config.slots[0]
        slots = slice(first, first + tokens.shape[1])
        at = self.places[slots] + self.levels[level]
        # An invalid condition has no code; the decoder recognises it and discards its output.
        codes = F.embedding((conditions - self.config.first_chunk).clamp(0, len(self.codes) - 1), self.codes)
        x = F.embedding(tokens, self.embedding) + codes[:, None] * self.gates[slots] + at
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
        """Return the numbers per slot that `forward` computes with the same arguments, for counting its work."""
        start, stop = self.config.written(level)
        return 1 if energy else 1 + stop - start

    def ids(self, classes: Tensor, level: int) -> Tensor:
        """Return the ids of classes of `forward`, both [...] long."""
        return torch.where(classes == 0, PAD, classes + (self.config.written(level)[0] - 1))

    def classes(self, ids: Tensor, level: int) -> Tensor:
        """Return the classes of `forward` of ids that a level writes, both [...] long."""
        return torch.where(ids == PAD, 0, ids - (self.config.written(level)[0] - 1))


def info_of(model: Renderer) -> ModelInfo:
    """Return the facts of a renderer; its matrices are those of its layers and the embedding, also its head."""
    matrices = sum(p.numel() for layer in model.layers for p in layer.parameters() if p.dim() == 2)
    return replace(
        model.config.backbone(PAD, EOS, MASK).info(),
        parameters=sum(p.numel() for p in model.parameters()),
        matmul_parameters=matrices + model.embedding.numel(),
    )
