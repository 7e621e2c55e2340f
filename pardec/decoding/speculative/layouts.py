"""Layouts of a pass (positions, attention mask, cache columns) over trees, drafts and rows of unequal length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.decoding.speculative.tree import Shape

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.attention import Layout

torch = lazy("torch")
models = lazy("pardec.models.architectures.attention")


def tree_of_one(shape: Shape, length: int, limit: int) -> Layout:
    """Return the layout of a tree behind `length` columns of the only row, which has no padding.

    limit: positions of the model; nodes that do not exist may exceed it.
    """
    size = shape.parents.shape[1]
    before = shape.mask.new_ones(1, size, length)
    positions = (shape.depths + length).clamp(max=limit - 1)
    return models.Layout(positions, torch.cat([before, shape.mask], -1)[:, None], length + size)


def part_of_one(shape: Shape, length: int, limit: int, first: int, stop: int) -> Layout:
    """Return the layout of the nodes first..stop-1 of that tree; those before them are in the cache already."""
    mask = shape.mask[:, first:stop, :stop]
    before = mask.new_ones(1, stop - first, length)
    positions = (shape.depths[:, first:stop] + length).clamp(max=limit - 1)
    return models.Layout(positions, torch.cat([before, mask], -1)[:, None], length + stop)


def tree_of_many(
    shape: Shape,
    starts: Tensor,
    longest: int,
    pad: Tensor | None,
    limit: int,
    first: int = 0,
    stop: int | None = None,
) -> Layout:
    """Return the layout of the trees of rows of unequal length, or of their nodes first..stop-1.

    starts: [B, 1] long, columns of each row before its anchor; longest: their maximum. pad: [B] long or None. limit:
    positions of the model (finished rows may exceed it; their output is not read).
    """
    stop = shape.parents.shape[1] if stop is None else stop
    filled = longest + stop
    order = torch.arange(first, stop, device=starts.device)
    columns = torch.arange(filled, device=starts.device)
    node = columns - starts
    before = node < 0
    if pad is not None:
        before = before & (columns >= pad[:, None])
    inside = node.clamp(0, stop - 1)[:, None].expand(-1, stop - first, -1)
    attends = shape.mask[:, first:stop, :stop].expand(len(starts), -1, -1).gather(2, inside)
    within = ((node >= 0) & (node < stop))[:, None]
    positions = starts + shape.depths[:, first:stop]
    if pad is not None:
        positions = positions - pad[:, None]
    mask = before[:, None] | (within & attends)
    return models.Layout(positions.clamp(0, limit - 1), mask[:, None], filled, starts + order)


def block_of_many(
    starts: Tensor,
    lengths: list[int],
    counts: list[int],
    new: int,
    size: int,
    pad: Tensor | None,
    limit: int,
) -> Layout:
    """Return the layout of a draft pass: `new` columns of context that end at each row's start (the last `counts` of
    them valid, the others overwritten), then a block of `size`, which attends to everything before its end.

    starts: [B, 1] long, the column of each row's anchor. lengths: tokens of each row. counts: new columns of each row.
    pad: [B] long, pad tokens at the left of each row, or None. limit: positions of the draft.
    """
    device = starts.device
    fresh = torch.tensor(counts, device=device)[:, None]
    columns = torch.cat(
        [starts - fresh + torch.arange(new, device=device), starts + torch.arange(size, device=device)], 1
    )
    filled = max(length + max(size, new - count) for length, count in zip(lengths, counts, strict=True))
    cached = torch.arange(filled, device=device)
    mask = cached < starts + size
    positions = columns
    if pad is not None:
        mask = mask & (cached >= pad[:, None])
        positions = columns - pad[:, None]
    return models.Layout(positions.clamp(0, limit - 1), mask[:, None, None], filled, columns)


def widened(layout: Layout, extra: int, limit: int) -> Layout:
    """Return the layout with `extra` columns behind the last of each row. No other column attends to them, and their
    mask is that of the last column. limit: positions of the model."""
    steps = torch.arange(1, extra + 1, device=layout.positions.device)
    positions = torch.cat([layout.positions, layout.positions[:, -1:] + steps], 1).clamp(max=limit - 1)
    mask = torch.nn.functional.pad(layout.mask, (0, extra), value=False)
    mask = torch.cat([mask, mask[:, :, -1:].expand(-1, -1, extra, -1)], 2)
    columns = layout.columns
    if columns is not None:
        columns = torch.cat([columns, columns[:, -1:] + steps], 1)
    return models.Layout(positions, mask, layout.filled + extra, columns)
