"""The interface of every language model to a decoder, whatever the source of its weights."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from torch import Tensor, nn

from pardec.models.architectures.attention import Cache, Layout
from pardec.models.architectures.config import ModelInfo


def kept(x: Tensor, keep: slice | Tensor | None) -> Tensor:
    """Return the positions `keep` of x [B, T, hidden], given as in `LanguageModel.forward`."""
    if keep is None:
        return x
    if isinstance(keep, slice):
        return x[:, keep]
    return x.gather(1, keep[..., None].expand(-1, -1, x.shape[-1]))


class LanguageModel(nn.Module):
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
        parameter = next(self.parameters())
        return Cache(self.info, batch, size, parameter.device, parameter.dtype)
