"""Where the blocks of a canvas are, and what a token of each column sees."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.base import PromptBatch

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout

torch = lazy("torch")
models = lazy("pardec.models.architectures.attention")


class Blocks:
    """Prompts and a canvas of masks behind them, in blocks. Columns count from the left edge of the padded prompts,
    places from the first token written.

    pad: [B] long, or None where no row is padded. block: tokens of a block; None: the model's, or the whole canvas.
    of_model: tokens of the model's blocks where its prompt is blocks too; None: a causal prompt, behind which blocks
    begin.
    """

    def __init__(
        self,
        prompts: PromptBatch,
        pad: Tensor | None,
        block: int | None,
        of_model: int | None,
        new_tokens: int,
        mask_id: int,
    ):
        first, self.pad = prompts.length, pad
        self.in_prompt = of_model is not None
        self.starts = [0] * prompts.size
        """First place of each row's first block."""
        if of_model is None:
            self.block = min(block or new_tokens, new_tokens)
            width = -(-new_tokens // self.block) * self.block
            self.last = first + new_tokens
            """Columns from this one on are seen by no token."""
        else:
            self.block = block or of_model
            self.starts = [-((first - left) % self.block) for left in prompts.pad.tolist()]
            width = new_tokens + self.block
            self.last = first + width
        blank = prompts.tokens.new_full((prompts.size, width), mask_id)
        self.canvas = torch.cat([prompts.tokens, blank], 1)
        self.columns = torch.arange(first + width, device=self.canvas.device)
        begin: Any = first
        if self.in_prompt:
            begin = 0 if pad is None else pad[:, None]
        number = (self.columns[None] - begin).div(self.block, rounding_mode="floor")
        limits = begin + (number + 1) * self.block
        if not self.in_prompt:
            limits = torch.where(self.columns < first, self.columns + 1, limits.clamp(max=self.last))
        self.limits = limits
        """[1 or B, columns] long: each column's token sees the columns before this one."""

    def layout(self, begin: int, end: int, masked: bool = True) -> Layout:
        """Return the layout of a pass over the columns from `begin` to `end`. masked: whether they do not see all."""
        columns = self.columns[None, begin:end]
        mask = self.mask(self.limits[:, begin:end], columns, end) if masked else None
        return models.Layout(self.positions(columns), mask, end)

    def scattered(self, columns: Tensor, filled: int) -> tuple[Tensor, Layout]:
        """Return the tokens of columns [B, T] that differ by row, those past the last one for it, and the layout of
        their pass. filled: columns that take part."""
        places = columns.clamp(max=self.last - 1)
        limits = self.limits.expand(len(places), -1).gather(1, places)
        mask = self.mask(limits, columns, filled)
        return self.canvas.gather(1, places), models.Layout(self.positions(places), mask, filled, columns)

    def positions(self, columns: Tensor) -> Tensor:
        """Return the positions of `columns`, [..., n] long, counted from each row's first real token."""
        return columns if self.pad is None else (columns - self.pad[:, None]).clamp(min=0)

    def mask(self, limits: Tensor, columns: Tensor, filled: int) -> Tensor:
        """Return the mask [B or 1, 1, T, filled]: each token sees the columns before its limit, its own included, and
        no padding."""
        keys = torch.arange(filled, device=limits.device)
        allowed = keys < limits[..., None]
        if self.pad is not None:
            real = keys >= self.pad[:, None]
            allowed = (allowed & real[:, None]) | (keys == columns[..., None])
        return allowed[:, None]
