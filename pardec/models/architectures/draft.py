"""The block-diffusion draft model DFlash (arXiv:2602.06036), in the published format.

A block is an anchor, the last committed token, followed by mask tokens; one pass predicts all of them. Queries come
from the block only. Keys and values come from the context and the block through the same projections: the context is
the target's hidden states of all tokens before the anchor, fused to the draft's width once and shared by its layers.
Within the block attention is bidirectional. Embedding and output head are the target's.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.common.errors import UserError
from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair, attend, rotate
from pardec.models.architectures.backbone import feed_forward
from pardec.models.architectures.base import initialise_matrices, store_rope_tables
from pardec.models.architectures.config import DraftConfig, ModelInfo
from pardec.models.architectures.norm import rms_norm


class DraftLayer(nn.Module):
    """Attention from the block to context and block, and feed-forward, each behind a norm."""

    def __init__(self, config: DraftConfig):
        super().__init__()
        self.heads, self.kv_heads, self.head_dim = config.heads, config.kv_heads, config.head_dim
        self.eps, hidden = config.norm_eps, config.hidden
        self.input_norm = nn.Parameter(torch.ones(hidden))
        self.post_norm = nn.Parameter(torch.ones(hidden))
        self.query = nn.Parameter(torch.empty(config.heads * config.head_dim, hidden))
        self.key_value = nn.Parameter(torch.empty(2 * config.kv_heads * config.head_dim, hidden))
        self.query_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.key_norm = nn.Parameter(torch.ones(config.head_dim)) if config.qk_norm else None
        self.out = nn.Parameter(torch.empty(hidden, config.heads * config.head_dim))
        self.gate_up = nn.Parameter(torch.empty(2 * config.mlp, hidden))
        self.down = nn.Parameter(torch.empty(hidden, config.mlp))

    def forward(
        self,
        x: Tensor,
        context: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        plan: AttentionPlan,
        pair: Pair | None,
    ) -> Tensor:
        """Return the hidden states after this layer, [B, k, hidden].

        x: [B, k, hidden], the block. context: [B, m, hidden], or None without new context. cos, sin: [B or 1, m + k, 1,
        head_dim]. pair: the layer's cache; None: attend to context and block alone."""
        batch, size, _ = x.shape
        normed = rms_norm(x, self.input_norm, self.eps)
        both = normed if context is None else torch.cat([context, normed], 1)
        query = F.linear(normed, self.query).view(batch, size, self.heads, self.head_dim)
        key, value = F.linear(both, self.key_value).view(batch, both.shape[1], -1, self.head_dim).chunk(2, 2)
        if self.query_norm is not None:
            query = rms_norm(query, self.query_norm, self.eps)
            key = rms_norm(key, self.key_norm, self.eps)
        query, key = rotate(query, cos[..., -size:, :, :], sin[..., -size:, :, :]), rotate(key, cos, sin)
        query, key, value = query.transpose(1, 2), key.transpose(1, 2), value.transpose(1, 2)
        mixed = attend(query, key, value, plan, pair)
        x = x + F.linear(mixed.transpose(1, 2).reshape(batch, size, -1), self.out)
        return x + feed_forward(rms_norm(x, self.post_norm, self.eps), self.gate_up, self.down)


class DraftModel(nn.Module):
    """The draft without embedding and head, which are the target's."""

    def __init__(self, config: DraftConfig):
        super().__init__()
        self.config = config
        self.fc = nn.Parameter(torch.empty(config.hidden, len(config.taps) * config.hidden))
        self.hidden_norm = nn.Parameter(torch.ones(config.hidden))
        self.layers = nn.ModuleList([DraftLayer(config) for _ in range(config.layers)])
        self.norm = nn.Parameter(torch.ones(config.hidden))
        self.info = config.info()
        self.place_tables("cpu", torch.float32)

    def place_tables(self, device: str | torch.device, dtype: torch.dtype) -> None:
        """Compute the rotary tables on `device`: in float32, then cast to `dtype`."""
        store_rope_tables(self, self.config, device, dtype)

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices with N(0, 0.02²), those that write to the stream scaled by 1/√(2 · layers)."""
        initialise_matrices(self, self.config.layers, (".out", ".down"), generator)

    def new_cache(self, batch: int, size: int) -> Cache:
        """Return an empty cache of `size` positions for `batch` rows, on the draft's device and in its precision."""
        return Cache(self.info, batch, size, self.fc.device, self.fc.dtype)

    def fuse(self, features: Tensor) -> Tensor:
        """Return the context [B, m, hidden] fused from the target's hidden states [B, m, taps * hidden]."""
        return rms_norm(F.linear(features, self.fc), self.hidden_norm, self.config.norm_eps)

    def forward(
        self,
        block: Tensor,
        context: Tensor | None,
        cache: Cache | None = None,
        layout: Layout | None = None,
        start: int = 0,
    ) -> Tensor:
        """Return normed hidden states [B, k, hidden] of a block, ready for the target's head; those at index 0 predict
        nothing.

        block: [B, k, hidden], embeddings of the anchor and of the tokens behind it. context: [B, m, hidden], fused
        features of tokens before the anchor that are not in the cache yet, or None. With a cache they follow its
        `length` columns and are appended to it; the block's keys and values are written behind them and dropped after
        the pass. start: the first position without a cache. layout: positions, attention mask and columns of [context ;
        block], for rows of unequal length or a training pass that packs many blocks.

        Raises:
            ValueError: more positions than the draft has.
        """
        new = 0 if context is None else context.shape[1]
        past = start if cache is None else cache.length
        filled = past + new + block.shape[1]
        if layout is None:
            if filled > len(self.cos):
                raise ValueError(f"{filled} positions asked of a draft with {len(self.cos)}")
            cos, sin = self.cos[past:filled], self.sin[past:filled]
            plan = AttentionPlan(past=past, filled=filled)
        else:
            cos, sin = self.cos[layout.positions], self.sin[layout.positions]
            plan = AttentionPlan(
                layout.mask, past=past, filled=layout.filled, writes=block_writes(layout, new)
            )
        pairs = None if cache is None else cache.layers
        x = self.run_layers(block, context, cos, sin, plan, pairs)
        if cache is not None:
            cache.length = past + new
        return x

    def run_layers(
        self,
        x: Tensor,
        context: Tensor | None,
        cos: Tensor,
        sin: Tensor,
        plan: AttentionPlan,
        pairs: list[Pair] | None,
    ) -> Tensor:
        """Return the normed hidden states [B, k, hidden] after all layers; see `DraftLayer.forward`."""
        for index, layer in enumerate(self.layers):
            x = layer(x, context, cos, sin, plan, pairs and pairs[index])
        return rms_norm(x, self.norm, self.config.norm_eps)


def block_writes(layout: Layout, new: int) -> list[tuple[slice, Tensor]] | None:
    """Return the columns in which context and block are written. The block comes last: in a row with little new
    context it overwrites the padding of that context. new: tokens of context. Columns: [B, n] long; None: consecutive
    ones."""
    if layout.columns is None:
        return None
    return split_writes(layout.columns, new)


def split_writes(columns: Tensor, new: int) -> list[tuple[slice, Tensor]]:
    """Return the columns [..., N] of the first `new` tokens and of those behind them, to be written in this order."""
    return [(slice(None, new), columns[..., :new]), (slice(new, None), columns[..., new:])]


def fits(draft: DraftModel, info: ModelInfo) -> None:
    """Check that `draft` can read the target that `info` describes.

    Raises:
        UserError: another width or vocabulary, or layers that the target does not have.
    """
    config = draft.config
    for what, expected, actual in (
        ("width", config.hidden, info.hidden),
        ("vocabulary", config.vocab_size, info.vocab_size),
        ("count of target layers", config.target_layers, info.layers),
    ):
        if expected != actual:
            raise UserError(
                "companion draft",
                f"was made for a target whose {what} is {expected}, not {actual}",
                "give the draft of this target",
            )
    if max(config.taps) >= info.layers:
        raise UserError("companion draft", f"reads layer {max(config.taps)}", "give the draft of this target")
