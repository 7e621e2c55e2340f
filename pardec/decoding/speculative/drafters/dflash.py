"""A block-diffusion draft: all tokens of a block in one pass, from the target's hidden states (DFlash,
arXiv:2602.06036).

Its cache holds the context, the fused hidden states of all committed tokens; each cycle appends what was committed
since, and drops the block's own keys and values.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import (
    DROPPING,
    Choose,
    Draft,
    Drafter,
    Hints,
    Noise,
    Target,
    View,
)
from pardec.decoding.speculative.layouts import block_of_many

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import Layout
    from pardec.models.architectures.draft import DraftModel

torch = lazy("torch")


class DFlashSettings(Settings):
    """Draft with the companion `draft`, a DFlash model."""

    name: Literal["dflash"] = "dflash"
    """The name of the drafter."""
    context: Literal["all", "last"] = "all"
    """What the draft's cache keeps: all committed tokens, or those of the last cycle only (a control: what a draft
    without its cache sees)."""


class DFlash(Drafter):
    Settings = DFlashSettings
    companion = "draft"
    redrafts = True
    whole = True
    varies = True

    def taps(self, companion: DraftModel) -> tuple[int, ...]:
        return companion.config.taps

    def begin(self, target: Target, companion: DraftModel, batch: int, size: int) -> None:
        """
        Raises:
            UserError: the draft was made for another target.
        """
        from pardec.models.checkpoints.draft_files import fits

        fits(companion, target.info)
        self.model, self.target = companion, target
        self.cache = companion.new_cache(batch, size)
        self.mask = target.embedding[companion.config.mask_id][None, None]

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        self.context = self.model.fuse(view.fresh)
        logits = self._pass(view, count, hints, self.context)
        return Draft(choose(logits, 0), logits)

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        logits = self._pass(view, count, hints, None)
        return Draft(choose(logits, 0), logits)

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        # The newest context is written over, with some of its features missing.
        drop = noise(DROPPING, (1, self.context.shape[-1])) < rate
        context = self.context.masked_fill(drop, 0.0) / (1 - rate)
        if view.single:
            self.cache.length -= context.shape[1]
        logits = self._pass(view, count, None, context)
        # The context itself is put back as it was.
        if view.single:
            self.cache.length -= context.shape[1]
        self._pass(view, 1, None, self.context)
        return logits

    def _pass(self, view: View, count: int, hints: Hints | None, context: Tensor | None) -> Tensor:
        """Logits [B, count, V] of the slots behind the anchor."""
        # At the end of the model's positions a block is what still has one.
        count = max(1, min(count, self.model.config.max_positions - max(view.lengths) - 1))
        table = self.target.embedding
        anchor = torch.nn.functional.embedding(view.anchor, table)
        slots = self.mask.expand(len(anchor), count, -1)
        if hints is not None:
            told = torch.nn.functional.embedding(hints.tokens, table)
            size = min(count, hints.tokens.shape[1])
            begun = torch.where(hints.where[:, :size, None], told[:, :size], slots[:, :size])
            slots = torch.cat([begun, slots[:, size:]], 1)
        block = torch.cat([anchor, slots], 1)
        layout = self._layout(view, 1 + count, 0 if context is None else context.shape[1])
        return self.target.head(self.model(block, context, self.cache, layout)[:, 1:])

    def _layout(self, view: View, size: int, new: int) -> Layout | None:
        if view.single and self.settings.context == "all":
            return None
        counts = view.counts if new else [0] * len(view.counts)
        starts, limit = view.starts(), self.model.config.max_positions
        layout = block_of_many(starts, view.lengths, counts, new, size, view.pad, limit)
        if self.settings.context == "last":
            own = torch.tensor(view.counts, device=starts.device)[:, None]
            recent = torch.arange(layout.filled, device=starts.device) >= starts - own
            layout.mask = layout.mask & recent[:, None, None]
        return layout
