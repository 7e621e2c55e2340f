"""Tables of learned position vectors: new ones, sinusoids to start from, and rows of them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WAVE_HEIGHT = 0.1
"""Of position tables that begin as sinusoids; other tables begin with a deviation of 0.02."""


def waves(rows: int, hidden: int) -> Tensor:
    """Sinusoids of the row's number (Vaswani et al. 2017), [rows, hidden]: neighbours are alike from the start,
    so that a sum of two positions need not be learned pair by pair. Wavelengths from 4 to 8 times the rows."""
    lengths = torch.logspace(math.log2(4), math.log2(8 * max(rows, 2)), hidden // 2, base=2.0)
    angles = torch.outer(torch.arange(rows), 2 * math.pi / lengths)
    table = torch.cat([angles.sin(), angles.cos()], 1) * WAVE_HEIGHT
    return F.pad(table, (0, hidden - table.shape[1]))


def rows_of(table: Tensor, indices: Tensor) -> Tensor:
    """Rows of a position table; an index past an end takes the row at that end."""
    return F.embedding(indices.clamp(0, len(table) - 1), table)


def new_table(rows: int, hidden: int) -> nn.Parameter | None:
    """A table [rows, hidden], not filled yet; None for one of no rows."""
    return nn.Parameter(torch.empty(rows, hidden)) if rows else None
