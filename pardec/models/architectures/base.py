"""What every language model of this project offers to a decoder, whatever its weights came from."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from pathlib import Path

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
    stop_ids: tuple[int, ...] = ()
    """Further tokens that end a text, beside `eos_id`, such as the end of a turn."""

    matmul_bytes: int | None = None
    """Bytes of these parameters as they are stored, where they are quantised; None: as wide as the activations."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Every token that ends a text, `eos_id` first."""
        return self.stop_ids if self.eos_id is None else (self.eos_id, *self.stop_ids)


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
        self.table: tuple[Tensor, Tensor] | None = None
        """[B, 1] long each: canvas positions that a row of a table takes, and its rows, for models with row and
        column positions; known from the prompt, which later passes do not see."""
        self.placed: Tensor | None = None
        """[B, S, hidden]: the vectors of those models' canvas positions, from the canvas's start on."""

    @property
    def size(self) -> int:
        return self.keys.shape[3]

    def crop(self, length: int) -> None:
        if not 0 <= length <= self.length:
            raise ValueError(f"cannot crop a cache of {self.length} positions to {length}")
        self.length = length

    def move(self, start: Tensor | int, source: Tensor) -> None:
        """Copy the columns `source` of each row to `start`, `start` + 1, and so on: the accepted path of a tree,
        out of all that was verified.

        start: [B] long, or one number for all rows. source: [B, n] long, columns of the cache; none before its
        destination, so rows that have fewer may name any columns behind.
        """
        if isinstance(start, int) and len(source) == 1:
            stop = start + source.shape[1]
            self.store[..., start:stop, :] = self.store.index_select(4, source[0])
            return
        rows = torch.arange(len(source), device=source.device)[:, None]
        columns = torch.as_tensor(start, device=source.device).view(-1, 1)
        columns = columns + torch.arange(source.shape[1], device=source.device)
        self.store[:, :, rows, :, columns] = self.store[:, :, rows, :, source]


@dataclass
class Layout:
    """Where the tokens of a pass stand, when they do not simply follow one another.

    positions: [B or 1, T] long, for rotary positions. mask: [B or 1, 1, T, filled] bool, which columns of the
    cache each token may see, its own among them; all at None. filled: columns of the cache that take part. columns:
    [B, T] long, where each row writes its keys and values; from the cache's `length` on at None.
    """

    positions: Tensor
    mask: Tensor | None
    filled: int
    columns: Tensor | None = None

    def slots(self) -> tuple[Tensor, slice, Tensor] | None:
        """The index of these columns in keys or values [B, kv_heads, S, head_dim]."""
        if self.columns is None:
            return None
        rows = torch.arange(len(self.columns), device=self.columns.device)[:, None]
        return rows, slice(None), self.columns


def kept(x: Tensor, keep: slice | Tensor | None) -> Tensor:
    """The positions of x [B, T, hidden] whose logits are wanted, as `LanguageModel.forward` is told them."""
    if keep is None:
        return x
    if isinstance(keep, slice):
        return x[:, keep]
    return x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))


class LanguageModel(nn.Module):
    info: ModelInfo
    static_shapes: bool = False
    """Whether each new shape of a pass has to be compiled first."""
    folder: Path | None = None
    """The folder it was loaded from, for peers that read its files themselves."""

    @abstractmethod
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
        """One pass.

        tokens: [B, T] long. With a cache, they follow the cache's `length` positions, are appended to it,
        and attend to it; without one they are the whole sequence. pad: [B] long, pad tokens at the left of
        each row (never attended to; positions count from the first real token); None means none. keep: the
        positions of `tokens` whose logits are wanted (all where None), so that the output head runs only
        there; [B, K] long where rows want different ones. canvas_start: the column of `tokens` where the canvas
        begins, the same for every row, for models whose learned positions count from there (others ignore
        it). places: [B, T - canvas_start]
        long, the canvas positions of the columns from there on where only some of the canvas is given; None
        means one after another. Only for models without rotary positions. layout: positions, sight and columns
        of the tokens where they are no plain sequence, such as a packed tree; needs a cache, and stands in
        place of `pad`. taps: layers, from 0, whose hidden states are wanted as well. Returns logits [B, K, V];
        with taps also features [B, T, taps * hidden], what the stream holds after each of these layers.
        Attention is causal or bidirectional as `info.attention` says.
        """

    def denoise(
        self,
        canvas: Tensor,
        pad: Tensor | None,
        start: int,
        stop: int,
        canvas_start: int | None = None,
        within: Tensor | None = None,
    ) -> Tensor:
        """Logits [B, stop - start, V] for what stands at columns start..stop-1 of `canvas`, the shift
        accounted for.

        canvas: [B, prompt + canvas] long. canvas_start: the column after the prompt; `start` where None,
        which is right only while the whole canvas is asked for (a decoder that works block by block must
        say it). within: [B, K] long, the columns counted from `start` whose logits alone are wanted, [B, K, V].
        """
        by = 1 if self.info.shift else 0
        first = start if canvas_start is None else canvas_start
        keep = slice(start - by, stop - by) if within is None else within + (start - by)
        return self(canvas, pad=pad, keep=keep, canvas_start=first)

    def new_cache(self, batch: int, size: int) -> Cache:
        parameter = next(self.parameters())
        return Cache(self.info, batch, size, parameter.device, parameter.dtype)
