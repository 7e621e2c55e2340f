"""A DFlash draft on the engine `compiled`: its layers as one graph for a prompt's context and one for a cycle's.

The number of context tokens per cycle depends on the accepted ones. They are padded to the block's length: the
padding's keys and values go to columns that the block, written last, overwrites (see `block_writes`).
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair
from pardec.models.architectures.draft import DraftModel
from pardec.models.architectures.norm import rms_norm
from pardec.models.engines.compiled import StaticCaches, compiler


class StaticDraft(DraftModel):
    """A draft whose layers run compiled; it shares weights, settings and hooks with its source model."""

    caches: StaticCaches

    @classmethod
    def of(cls, model: DraftModel, device: str) -> StaticDraft:
        static = cls.__new__(cls)
        static.__dict__.update(model.__dict__)
        static.__dict__["caches"] = StaticCaches()
        static.__dict__["graph"] = compiler(static._layers, device)
        static.__dict__["on_cuda"] = device.startswith("cuda")
        static.__dict__["padded"] = False
        return static

    def new_cache(self, batch: int, size: int) -> Cache:
        # A cycle's padded context and block extend at most one block past the columns of an eager draft.
        return self.caches.take(batch, size, lambda: DraftModel.new_cache(self, batch, size))

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
        batch, size, device = len(block), cache.size, block.device
        new = 0 if context is None else context.shape[1]
        past, width = cache.length, block.shape[1]
        if context is None:
            context = block.new_zeros(batch, 0, block.shape[2])
        mask: Tensor | None = None
        if layout is None:
            columns = torch.arange(past, past + new + width, device=device).expand(batch, -1)
            positions = columns
            filled = past + new + width
        else:
            mask, filled = layout.mask, layout.filled
            positions = layout.positions.expand(batch, -1)
            if layout.columns is None:
                columns = torch.arange(past, filled, device=device).expand(batch, -1)
            else:
                columns = layout.columns
        if mask is None:
            mask = (torch.arange(size, device=device) < filled)[None, None, None].expand(1, 1, width, size)
        else:
            mask = F.pad(mask, (0, size - mask.shape[-1]), value=False)
        mask = mask.expand(batch, 1, width, size).contiguous()
        if new < width:
            context = F.pad(context, (0, 0, 0, width - new))
            # The padding writes to the block's last column; the block is written after it.
            spare = columns[:, -1:].expand(-1, width - new)
            columns = torch.cat([columns[:, :new], spare, columns[:, new:]], 1)
            positions = torch.cat([positions[:, :new], spare * 0, positions[:, new:]], 1)
        cos, sin = self.cos[positions], self.sin[positions]
        if self.on_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        x = self.graph(block, context.contiguous(), cos, sin, mask, cache.layers, columns.contiguous())
        cache.length = past + new
        return x.clone() if self.on_cuda else x

    def _layers(
        self,
        block: Tensor,
        context: Tensor,
        cos: Tensor,
        sin: Tensor,
        mask: Tensor,
        pairs: list[Pair],
        columns: Tensor,
    ) -> Tensor:
        """Return normed hidden states [B, k, hidden]; context and its columns padded, all of fixed shape."""
        new = context.shape[1]
        writes = [(slice(None, new), columns[:, :new]), (slice(new, None), columns[:, new:])]
        plan = AttentionPlan(mask, filled=pairs[0][0].shape[2], writes=writes)
        x = block
        for index, layer in enumerate(self.layers):
            x = layer(x, context, cos, sin, plan, pairs[index])
        return rms_norm(x, self.norm, self.config.norm_eps)
