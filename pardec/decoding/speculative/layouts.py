"""Positions, sight and columns of a pass over rows of unequal length."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.decoding.speculative.tree import Shape

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import Layout

torch = lazy("torch")
models = lazy("pardec.models.architectures.base")


def tree_of_one(shape: Shape, length: int) -> Layout:
    """A tree behind `length` columns of the only row, which has no padding."""
    size = shape.parents.shape[1]
    before = shape.seen.new_ones(1, size, length)
    return models.Layout(shape.depths + length, torch.cat([before, shape.seen], -1)[:, None], length + size)


def part_of_one(shape: Shape, length: int, first: int, stop: int) -> Layout:
    """The nodes first..stop-1 of that tree, those before them being in the cache already."""
    seen = shape.seen[:, first:stop, :stop]
    before = seen.new_ones(1, stop - first, length)
    return models.Layout(
        shape.depths[:, first:stop] + length, torch.cat([before, seen], -1)[:, None], length + stop
    )


def tree_of_many(
    shape: Shape,
    starts: Tensor,
    longest: int,
    pad: Tensor | None,
    limit: int,
    first: int = 0,
    stop: int | None = None,
) -> Layout:
    """Trees of rows of unequal length, or their nodes first..stop-1.

    starts: [B, 1] long, columns of each row before its anchor; longest: the most of them. pad: [B] long or
    None. limit: positions the model has (rows that are finished may run past them, and are not read).
    """
    stop = shape.parents.shape[1] if stop is None else stop
    filled = longest + stop
    order = torch.arange(first, stop, device=starts.device)
    columns = torch.arange(filled, device=starts.device)
    place = columns - starts
    before = place < 0
    if pad is not None:
        before = before & (columns >= pad[:, None])
    inside = place.clamp(0, stop - 1)[:, None].expand(-1, stop - first, -1)
    seen = shape.seen[:, first:stop, :stop].expand(len(starts), -1, -1).gather(2, inside)
    within = ((place >= 0) & (place < stop))[:, None]
    positions = starts + shape.depths[:, first:stop]
    if pad is not None:
        positions = positions - pad[:, None]
    mask = before[:, None] | (within & seen)
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
    """A draft pass: `new` columns of context that end at each row's start (`counts` of them its own, the rest
    are written over), then a block of `size`, which sees everything before its own end."""
    device = starts.device
    own = torch.tensor(counts, device=device)[:, None]
    columns = torch.cat(
        [starts - own + torch.arange(new, device=device), starts + torch.arange(size, device=device)], 1
    )
    filled = max(length + max(size, new - count) for length, count in zip(lengths, counts, strict=True))
    every = torch.arange(filled, device=device)
    seen = every < starts + size
    positions = columns
    if pad is not None:
        seen = seen & (every >= pad[:, None])
        positions = columns - pad[:, None]
    return models.Layout(positions.clamp(0, limit - 1), seen[:, None, None], filled, columns)
