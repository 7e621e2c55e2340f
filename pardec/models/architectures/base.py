"""What every language model of this project offers to a decoder, whatever its weights came from."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path

from torch import Tensor, nn

from pardec.models.architectures.attention import Cache, Layout
from pardec.models.architectures.config import ModelInfo


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
    warmed: set
    """Of such a model: which shapes a decoder has run all of before its first generation."""
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
        means one after another. Only for models without rotary positions. layout: positions, attention mask and columns
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

    def uncompiled(self) -> LanguageModel:
        """Return a model of the same weights that runs any shape at once."""
        return self

    def new_cache(self, batch: int, size: int) -> Cache:
        parameter = next(self.parameters())
        return Cache(self.info, batch, size, parameter.device, parameter.dtype)
