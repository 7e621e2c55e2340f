"""What every language model of this project offers to a decoder, whatever its weights came from."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelInfo:
    """Facts a decoder or a count of operations needs; ids are None where the model has no such token."""

    attention: str
    """"causal" or "bidirectional"."""
    vocab_size: int
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    bos_id: int | None
    eos_id: int | None
    pad_id: int
    mask_id: int | None
    parameters: int
    matmul_parameters: int
    """Parameters that take part in a matrix product for every token: no embedding lookup, the output head
    included."""
    shift: bool
    """Logits at i - 1 predict position i of the canvas (a masked model that started from autoregressive
    weights)."""


class Cache:
    """Preallocated keys and values, written by position.

    keys, values: [layers, B, kv_heads, S, head_dim], views of one `store` (its second axis: 0 keys, 1
    values). length: positions filled so far, the same for every row (left padding aligns rows). `crop`
    forgets the tail without touching memory.
    """

    def __init__(self, info: ModelInfo, batch: int, size: int, device, dtype):
        shape = (info.layers, 2, batch, info.kv_heads, size, info.head_dim)
        self.store = torch.zeros(shape, device=device, dtype=dtype)
        self.keys, self.values = self.store.unbind(1)
        self.length = 0

    @property
    def size(self) -> int:
        return self.keys.shape[3]

    def crop(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a cache of {self.length} positions to {length}")
        self.length = length


class LanguageModel(nn.Module):
    info: ModelInfo

    @abstractmethod
    def forward(
        self,
        tokens: Tensor,
        pad: Tensor | None = None,
        cache: Cache | None = None,
        keep: slice | None = None,
        canvas_start: int | None = None,
    ) -> Tensor:
        """One pass.

        tokens: [B, T] long. With a cache, they follow the cache's `length` positions, are appended to it,
        and attend to it; without one they are the whole sequence. pad: [B] long, pad tokens at the left of
        each row (never attended to; positions count from the first real token); None means none. keep: the
        positions of `tokens` whose logits are wanted (all where None), so that the output head runs only
        there. canvas_start: the column of `tokens` where the canvas begins, the same for every row, for
        models whose learned positions count from there (others ignore it). Returns logits [B, K, V].
        Attention is causal or bidirectional as `info.attention` says.
        """

    def denoise(
        self, canvas: Tensor, pad: Tensor | None, start: int, stop: int, canvas_start: int | None = None
    ) -> Tensor:
        """Logits [B, stop - start, V] for what stands at columns start..stop-1 of `canvas`, the shift
        accounted for.

        canvas: [B, prompt + canvas] long. canvas_start: the column after the prompt; `start` where None,
        which is right only while the whole canvas is asked for (a decoder that works block by block must
        say it).
        """
        by = 1 if self.info.shift else 0
        first = start if canvas_start is None else canvas_start
        return self(canvas, pad=pad, keep=slice(start - by, stop - by), canvas_start=first)

    def new_cache(self, batch: int, size: int) -> Cache:
        parameter = next(self.parameters())
        return Cache(self.info, batch, size, parameter.device, parameter.dtype)
