"""A DFlash draft on the engine `compiled`: its layers as one graph for a prompt's context and one for a cycle's.

The number of context tokens per cycle depends on the accepted ones. They are padded to the block's length: the
padding's keys and values go to columns that the block, written last, overwrites (see `block_writes`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair
from pardec.models.architectures.dflash2 import DFlash2Draft
from pardec.models.architectures.draft import DraftModel, split_writes
from pardec.models.architectures.markov import MarkovDraft
from pardec.models.engines.compiled import Static, packed, whole_mask
from pardec.models.engines.flex import with_blocks


class StaticDraft(Static, DraftModel):
    """A draft whose layers run compiled. A cycle's padded context and block extend at most one block past the columns
    of an eager draft."""

    def forward(
        self,
        block: Tensor,
        context: Tensor | None,
        cache: Cache | None = None,
        layout: Layout | None = None,
        start: int = 0,
    ) -> Tensor:
        """Return the result of `DraftModel.forward`, from a compiled graph; needs a cache.

        Raises:
            NotImplementedError: there is no cache.
        """
        if cache is None:
            raise NotImplementedError("engine compiled: a draft without a cache has no static form")
        batch, width, device = len(block), block.shape[1], block.device
        new = 0 if context is None else context.shape[1]
        past = cache.length
        if context is None:
            context = block.new_zeros(batch, 0, block.shape[2])
        mask = None if layout is None else layout.mask
        filled = past + new + width if layout is None else layout.filled
        columns = torch.arange(past, past + new + width, device=device).expand(batch, -1)
        positions = columns
        if layout is not None:
            positions = layout.positions.expand(batch, -1)
            columns = columns if layout.columns is None else layout.columns
        if new < width:
            context = F.pad(context, (0, 0, 0, width - new))
            # The padding writes to the block's last column; the block is written after it.
            spare = columns[:, -1:].expand(-1, width - new)
            columns = torch.cat([columns[:, :new], spare, columns[:, new:]], 1)
            positions = torch.cat([positions[:, :new], spare * 0, positions[:, new:]], 1)
        mask = whole_mask(mask, filled, cache.size, (batch, width), device)
        x = self.replay(
            packed(block), packed(context), packed(positions), mask, cache.layers, packed(columns)
        )
        cache.length = past + new
        return self.lasting(x)

    def step(
        self,
        block: Tensor,
        context: Tensor,
        positions: Tensor,
        mask: Tensor,
        pairs: list[Pair],
        columns: Tensor,
    ) -> Tensor:
        """Return normed hidden states [B, k, hidden]; context and its columns padded, all of fixed shape."""
        writes = split_writes(columns, context.shape[1])
        plan = with_blocks(AttentionPlan(mask, filled=pairs[0][0].shape[2], writes=writes), self.blocks(mask))
        return self.run_layers(block, context, self.cos[positions], self.sin[positions], plan, pairs)


class StaticDFlash2(StaticDraft, DFlash2Draft):
    """The same with DFlash 2's convolutions; its selector runs as in the eager draft."""

    def forward(
        self,
        block: Tensor,
        context: Tensor | None,
        cache: Cache | None = None,
        layout: Layout | None = None,
        start: int = 0,
    ) -> Tensor:
        return StaticDraft.forward(self, self.embedded(block), context, cache, layout, start)


class StaticMarkov(StaticDraft, MarkovDraft):
    """The same with a Markov head, which runs as in the eager draft."""
