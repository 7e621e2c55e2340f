"""The block draft DFlash 2 (z-lab and Inco AI 2026): a DFlash draft whose positions know more of one another.

A convolution before and after the attention and the feed-forward part mixes each position with the ones before it in
the block, with coefficients that depend on the position's content. And a selector scores the tokens of a position by
the token chosen before them: a low-rank product of the two, gated by the position's hidden state. Both as vLLM
implements them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair, attend, rotate
from pardec.models.architectures.backbone import feed_forward
from pardec.models.architectures.draft import DraftLayer, DraftModel
from pardec.models.architectures.norm import rms_norm

if TYPE_CHECKING:
    from pardec.models.checkpoints.formats.dflash2 import DFlash2Config


def convolve(x: Tensor, fixed: Tensor, changes: Tensor, period: int | None) -> Tensor:
    """Return x [B, n, hidden], each position mixed with those before it in its block.

    fixed: [kernel, hidden], coefficients by how far back a position is. changes: [B, n, kernel, groups], added to them
    by groups of channels. period: positions of a block; None: all n are one block.
    """
    kernel, size = fixed.shape[0], x.shape[1]
    weights = fixed + changes.repeat_interleave(x.shape[2] // changes.shape[3], -1)
    mixed = weights[:, :, 0] * x
    place = torch.arange(size, device=x.device) % (period or size)
    for back in range(1, kernel):
        before = F.pad(x, (0, 0, back, 0))[:, :size] * (place >= back)[:, None]
        mixed = mixed + weights[:, :, back] * before
    return mixed


class DFlash2Layer(DraftLayer):
    """A draft's layer with convolutions before and after each of its two parts. Parameters `*_fixed` are [2, kernel,
    hidden], for before and after; `*_changes` are [2 · kernel · groups, hidden]."""

    def __init__(self, config: DFlash2Config):
        super().__init__(config)
        self.kernel = config.kernel
        self.period: int | None = None
        """Positions of a block where a pass packs several blocks; None: a pass is one block."""
        rows = 2 * config.kernel * (config.hidden // config.group)
        self.attention_fixed = nn.Parameter(torch.empty(2, config.kernel, config.hidden))
        self.attention_changes = nn.Parameter(torch.empty(rows, config.hidden))
        self.mlp_fixed = nn.Parameter(torch.empty(2, config.kernel, config.hidden))
        self.mlp_changes = nn.Parameter(torch.empty(rows, config.hidden))

    def forward(
        self,
        x: Tensor,
        context: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        plan: AttentionPlan,
        pair: Pair | None,
    ) -> Tensor:
        batch, size, _ = x.shape
        normed = rms_norm(x, self.input_norm, self.eps)
        changes = self._changes(normed, self.attention_changes)
        normed = convolve(normed, self.attention_fixed[0], changes[0], self.period)
        both = normed if context is None else torch.cat([context, normed], 1)
        query = F.linear(normed, self.query).view(batch, size, self.heads, self.head_dim)
        key, value = F.linear(both, self.key_value).view(batch, both.shape[1], -1, self.head_dim).chunk(2, 2)
        if self.query_norm is not None:
            query = rms_norm(query, self.query_norm, self.eps)
            key = rms_norm(key, self.key_norm, self.eps)
        query, key = rotate(query, cos[..., -size:, :, :], sin[..., -size:, :, :]), rotate(key, cos, sin)
        mixed = attend(query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2), plan, pair)
        mixed = F.linear(mixed.transpose(1, 2).reshape(batch, size, -1), self.out)
        x = x + convolve(mixed, self.attention_fixed[1], changes[1], self.period)
        normed = rms_norm(x, self.post_norm, self.eps)
        changes = self._changes(normed, self.mlp_changes)
        normed = convolve(normed, self.mlp_fixed[0], changes[0], self.period)
        return x + convolve(
            feed_forward(normed, self.gate_up, self.down), self.mlp_fixed[1], changes[1], self.period
        )

    def _changes(self, normed: Tensor, projection: Tensor) -> Tensor:
        """Return the content's share of the coefficients before and after a part, [2, B, n, kernel, groups]."""
        batch, size, _ = normed.shape
        return F.linear(normed, projection).view(batch, size, 2, self.kernel, -1).movedim(2, 0)


class DFlash2Draft(DraftModel):
    """The draft with its convolutions; who draws the tokens applies the selector."""

    config: DFlash2Config

    def __init__(self, config: DFlash2Config):
        super().__init__(config)
        self.layers = nn.ModuleList([DFlash2Layer(config) for _ in range(config.layers)])
        self.before = nn.Parameter(torch.empty(config.vocab_size, config.rank))
        self.after = nn.Parameter(torch.empty(config.vocab_size, config.rank))
        self.gate = nn.Parameter(torch.empty(config.rank, config.hidden))

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices as those of the draft; convolutions and selector begin without effect."""
        super().initialise(generator)
        with torch.no_grad():
            for layer in self.layers:
                for fixed, changes in (
                    (layer.attention_fixed, layer.attention_changes),
                    (layer.mlp_fixed, layer.mlp_changes),
                ):
                    fixed.zero_()[:, 0] = 1
                    changes.zero_()
            self.after.zero_()
            # Where both factors of a product begin small, neither learns.
            self.before.normal_(generator=generator)

    def forward(
        self,
        block: Tensor,
        context: Tensor | None,
        cache: Cache | None = None,
        layout: Layout | None = None,
        start: int = 0,
    ) -> Tensor:
        return super().forward(self.embedded(block), context, cache, layout, start)

    def embedded(self, block: Tensor) -> Tensor:
        """Return the target's embeddings as the draft reads them."""
        scale = self.config.input_scale
        return block if scale == 1 else block * scale

    def scaled(self, logits: Tensor) -> Tensor:
        """Return the head's logits as the draft means them."""
        logits, cap = logits * self.config.output_scale, self.config.cap
        return torch.tanh(logits / cap) * cap if cap else logits

    def edges(self, hidden: Tensor, before: Tensor, among: Tensor | None = None) -> Tensor:
        """Return what the selector adds to the logits of tokens behind the tokens `before` [..., m] long: [..., m, V],
        or [..., m, k] for the tokens `among` [..., k] alone. hidden: [..., hidden] of the position, normed."""
        behind = F.embedding(before, self.before) * F.linear(hidden, self.gate)[..., None, :]
        if among is None:
            return F.linear(behind, self.after)
        return behind @ F.embedding(among, self.after).transpose(-1, -2)
