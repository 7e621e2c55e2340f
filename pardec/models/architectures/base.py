"""The interface of every language model to a decoder, whatever the source of its weights."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, plan_pass, rope_tables
from pardec.models.architectures.config import ModelInfo


def kept(x: Tensor, keep: slice | Tensor | None) -> Tensor:
    """Return the positions `keep` of x [B, T, hidden], given as in `LanguageModel.forward`."""
    if keep is None:
        return x
    if isinstance(keep, slice):
        return x[:, keep]
    return x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))


@dataclass
class Placement:
    """The places of a pass's tokens in the sequence and on the canvas.

    positions: [B or 1, T] long; None: consecutive ones from `past` on. past: columns before the pass. canvas_start,
    places: as in `LanguageModel.forward`. cache: the pass's cache, or None.
    """

    positions: Tensor | None
    past: int
    canvas_start: int | None = None
    places: Tensor | None = None
    cache: Cache | None = None


class LanguageModel(nn.Module):
    """A model that decoders run: tokens in, logits out. `info` has its facts."""

    info: ModelInfo
    static_shapes: bool = False
    """Whether each new shape of a pass must be compiled first."""
    warmed: set
    """Sets of shapes that a decoder has already run on a model of static shapes."""
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
        """Return logits [B, K, V] of one pass; with `taps` also features [B, T, taps * hidden], the hidden states
        after each tapped layer.

        tokens: [B, T] long. With a cache, they follow the cache's `length` positions, are appended to it and attend
        to it; without one they are the whole sequence. pad: [B] long, pad tokens at the left of each row (never
        attended to; positions count from the first real token); None means none. keep: the positions of `tokens`
        whose logits are computed, a slice, or [B, K] long where rows differ; None means all. canvas_start: the
        column of `tokens` where the canvas begins, the same for every row, for models whose learned positions count
        from it (others ignore it). places: [B, T - canvas_start] long, the canvas positions of the columns from
        there on, where only part of the canvas is given; None means consecutive ones. Only for models without
        rotary positions. layout: positions, attention mask and columns of tokens that are not a plain sequence,
        such as a packed tree; needs a cache, and replaces `pad`. taps: indices of layers, from 0. Attention is
        causal or bidirectional as in `info.attention`.

        Raises:
            ValueError: more positions than the model or the cache has, or an argument that the model lacks support
                for.
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
        """Return logits [B, stop - start, V] of columns start..stop-1 of `canvas`, corrected for the shift.

        canvas: [B, prompt + canvas] long. canvas_start: the column after the prompt; None means `start`, correct
        only when the whole canvas is requested (a decoder that works block by block must pass it). within: [B, K]
        long, columns counted from `start`; logits are then computed for these alone, [B, K, V].
        """
        by = 1 if self.info.shift else 0
        first = start if canvas_start is None else canvas_start
        keep = slice(start - by, stop - by) if within is None else within + (start - by)
        return self(canvas, pad=pad, keep=keep, canvas_start=first)

    def uncompiled(self) -> LanguageModel:
        """Return a model of the same weights that runs any shape at once."""
        return self

    def new_cache(self, batch: int, size: int) -> Cache:
        """Return an empty cache of `size` positions for `batch` rows, on the model's device and in its precision."""
        parameter = next(self.parameters())
        return Cache(self.info, batch, size, parameter.device, parameter.dtype)


class Transformer(LanguageModel):
    """What the architectures share: a table of tokens, layers on one cache, a norm, and a head that may be the table.

    An architecture has `config`, `embedding`, `head` (None: the table), and `layers`.
    """

    @abstractmethod
    def embed(self, tokens: Tensor, placement: Placement) -> Tensor:
        """Return the input [B, T, hidden] of the layers. tokens: [B, T] long.

        Raises:
            ValueError: the model cannot place its tokens so.
        """

    @abstractmethod
    def run_layers(
        self,
        x: Tensor,
        positions: slice | Tensor,
        plan: AttentionPlan,
        cache: Cache | None,
        taps: tuple[int, ...] | None,
    ) -> tuple[Tensor, list[Tensor]]:
        """Return the hidden states [B, T, hidden] after all layers, and after each of `taps`."""

    @abstractmethod
    def normed(self, x: Tensor) -> Tensor:
        """Return the hidden states x [..., hidden] after the last norm."""

    def read(self, x: Tensor) -> Tensor:
        """Return logits [..., V] of normed hidden states [..., hidden]: the output head alone."""
        return F.linear(x, self.embedding if self.head is None else self.head)

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
        past, filled = self.extent(tokens, cache, layout)
        positions = None
        if layout is not None:
            positions = layout.positions
        elif pad is not None:
            positions = padded_positions(pad, past, filled)
        x = self.embed(tokens, Placement(positions, past, canvas_start, places, cache))
        plan = plan_pass(
            self.info.attention != "bidirectional", pad, past, tokens.shape[1], tokens.device, layout
        )
        x, tapped = self.run_layers(
            x, slice(past, filled) if positions is None else positions, plan, cache, taps
        )
        if cache is not None:
            cache.length = filled
        logits = self.read(self.normed(kept(x, keep)))
        return logits if taps is None else (logits, torch.cat(tapped, -1))

    def extent(self, tokens: Tensor, cache: Cache | None, layout: Layout | None) -> tuple[int, int]:
        """Return the number of cache columns in use before and after a pass over `tokens` [B, T].

        Raises:
            ValueError: more positions than the model or the cache has.
        """
        past = 0 if cache is None else cache.length
        filled = past + tokens.shape[1] if layout is None else layout.filled
        # A tree has more columns than positions; a layout gives its positions explicitly.
        if layout is None and filled > self.config.max_positions:
            raise ValueError(f"{filled} positions asked of a model with {self.config.max_positions}")
        if cache is not None and filled > cache.size:
            raise ValueError(f"{filled} positions asked of a cache of {cache.size}")
        return past, filled


def padded_positions(pad: Tensor, past: int, filled: int) -> Tensor:
    """Return the positions [B, filled - past] long of columns past..filled-1, counted from each row's first real token
    (0 for its padding). pad: [B] long, pad tokens at the left of each row."""
    return (torch.arange(past, filled, device=pad.device) - pad[:, None]).clamp(min=0)


def store_rope_tables(
    model: nn.Module, config: Any, device: str | torch.device, table_dtype: torch.dtype
) -> None:
    """Store the rotary tables `cos` and `sin` [max_positions, 1, head_dim] as buffers of `model` on `device`, computed
    in float32 and then cast. config: a `BackboneConfig` or `DraftConfig`."""
    tables = rope_tables(
        config.max_positions, config.head_dim, config.rope_theta, device, config.rope_stretch
    )
    for name, table in zip(("cos", "sin"), tables, strict=True):
        model.register_buffer(name, table[:, None].to(table_dtype), persistent=False)


Run = Callable[[nn.Module, int, Tensor], Tensor]
"""Runs one layer: (layer, its index, hidden states) to hidden states."""


def tapped_layers(
    layers: nn.ModuleList, taps: tuple[int, ...] | None, x: Tensor, run: Run
) -> tuple[Tensor, list[Tensor]]:
    """Return the hidden states [B, T, hidden] after all layers, and after each of `taps`. x: [B, T, hidden]."""
    tapped = []
    for index, layer in enumerate(layers):
        x = run(layer, index, x)
        if taps is not None and index in taps:
            tapped.append(x)
    return x, tapped


def initialise_matrices(
    model: nn.Module, layers: int, residual: tuple[str, ...], generator: torch.Generator
) -> None:
    """Fill the matrices with N(0, 0.02²), those whose names end in `residual`, which write to the stream, scaled by
    1/√(2 · layers)."""
    damping = 1 / math.sqrt(2 * layers)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() == 2:
                scale = damping if name.endswith(residual) else 1.0
                parameter.normal_(0.0, 0.02 * scale, generator=generator)
