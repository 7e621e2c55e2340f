"""Learned positions, added to the token embeddings: of the prompt, of the canvas, and of a table's rows and columns."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import Cache
from pardec.models.architectures.base import Placement
from pardec.models.architectures.config import PositionConfig

WAVE_HEIGHT = 0.1
"""Amplitude of position tables that begin as sinusoids; other tables begin with a standard deviation of 0.02."""


class LearnedPositions(nn.Module):
    """The tables [rows, hidden] of a `PositionConfig`."""

    def __init__(self, config: PositionConfig, hidden: int):
        super().__init__()
        self.config = config
        self.prompt = nn.Parameter(torch.empty(config.prompt, hidden))
        self.canvas = nn.Parameter(torch.empty(config.canvas, hidden)) if config.canvas else None
        grid = config.grid
        sizes = {"rows": 0, "columns": 0, "right": 0, "below": 0}
        if grid is not None:
            sizes = {"rows": grid.rows, "columns": grid.columns, "right": grid.ends, "below": grid.ends}
        for name, rows in sizes.items():
            self.register_parameter(name, nn.Parameter(torch.empty(rows, hidden)) if rows else None)

    def initialise_waves(self) -> None:
        """Fill the tables of rows and columns with sinusoids where the configuration asks for them."""
        if self.config.grid is not None and self.config.grid.waves:
            for table in (self.rows, self.columns):
                table.copy_(waves(table.shape[0], table.shape[1]))

    def forward(self, tokens: Tensor, placement: Placement) -> Tensor:
        """Return position vectors [B or 1, T, hidden], from the prompt's table, then from the canvas's.

        tokens: [B, T] long.
        """
        positions, past, cache = placement.positions, placement.past, placement.cache
        canvas_start, places = placement.canvas_start, placement.places
        follows = cache is not None and canvas_start is not None and past >= max(canvas_start, 1)
        if follows and places is None and self.rows is not None:
            return self._kept_grid(cache, canvas_start)[:, past - canvas_start :][:, : tokens.shape[1]]
        columns = torch.arange(past, past + tokens.shape[1], device=tokens.device)
        if positions is None:
            positions = columns[None]
        vectors = rows_of(self.prompt, positions)
        if canvas_start is None or self.canvas is None:
            return vectors
        within = (columns >= canvas_start)[:, None]
        ranks = (columns - canvas_start)[None]
        if places is not None:
            ranks = torch.cat([ranks[:, :canvas_start].expand(len(places), -1), places], 1)
        canvas = rows_of(self.canvas, ranks)
        if self.rows is not None:
            canvas = canvas + self._grid(*self._size(tokens, positions, past, cache), ranks.clamp(min=0))
        return torch.where(within, canvas, vectors)

    def _size(
        self, tokens: Tensor, positions: Tensor, past: int, cache: Cache | None
    ) -> tuple[Tensor, Tensor]:
        """Return the canvas positions per table row and the number of table rows, [B, 1] long each, read from the
        prompt; a cache keeps them for later passes."""
        if past:
            return cache.table
        grid = self.config.grid

        def number(place: int) -> Tensor:
            at = (positions == place).int().argmax(-1, keepdim=True)
            return tokens.gather(1, at.expand(len(tokens), 1)) - grid.zero_id

        size = number(grid.width_at).clamp(min=1) * grid.cell, number(grid.height_at)
        if cache is not None:
            cache.table, cache.placed = size, None
        return size

    def _kept_grid(self, cache: Cache, canvas_start: int) -> Tensor:
        """Return the vectors [B, S, hidden] of all canvas positions within the cache's size, computed once per
        generation: otherwise each pass would need half a dozen lookups."""
        if cache.placed is None or cache.placed.shape[1] != cache.size - canvas_start:
            ranks = torch.arange(cache.size - canvas_start, device=cache.device)[None]
            stride, height = cache.table  # type: ignore[misc]  # set by the pass over the prompt
            cache.placed = rows_of(self.canvas, ranks) + self._grid(stride, height, ranks)
        return cache.placed

    def _grid(self, stride: Tensor, height: Tensor, ranks: Tensor) -> Tensor:
        """Return the vectors [B, T, hidden] of the canvas positions `ranks` [B or 1, T], counted from 0.

        stride, height: [B, 1]. Rows and columns are counted from the start, and with `ends` tables also from the
        end: columns to the last of the row, rows to the last row (0 behind it).
        """
        row, column = ranks // stride, ranks % stride
        vectors = rows_of(self.rows, row) + rows_of(self.columns, column)
        if self.right is None:
            return vectors
        return vectors + rows_of(self.right, stride - 1 - column) + rows_of(self.below, height - row)


def waves(rows: int, hidden: int) -> Tensor:
    """Return sinusoids of the row's number (Vaswani et al. 2017), [rows, hidden], with wavelengths from 4 to 8 times
    the rows. Neighbours are similar from the start, so a sum of two positions need not be learned pair by pair."""
    lengths = torch.logspace(math.log2(4), math.log2(8 * max(rows, 2)), hidden // 2, base=2.0)
    angles = torch.outer(torch.arange(rows), 2 * math.pi / lengths)
    table = torch.cat([angles.sin(), angles.cos()], 1) * WAVE_HEIGHT
    return F.pad(table, (0, hidden - table.shape[1]))


def rows_of(table: Tensor, indices: Tensor) -> Tensor:
    """Return rows [..., hidden] of a position table [rows, hidden]; an index past an end gives the row at that end.

    indices: [...] long.
    """
    return F.embedding(indices.clamp(0, len(table) - 1), table)
