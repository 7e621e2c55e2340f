"""The masks that passes of decoders have, as compiled passes have them: over all columns of a cache."""

from __future__ import annotations

import torch

from pardec.models.architectures.attention import attention_mask, stair
from pardec.models.engines.compiled import whole_mask

CPU = torch.device("cpu")
SIZE = 300
"""Columns of a cache: neither blocks nor a power of two."""


def cached(mask: torch.Tensor, rows: int = 2) -> torch.Tensor:
    """A mask over the filled columns as a compiled pass has it, over the whole cache."""
    return whole_mask(mask, mask.shape[-1], SIZE, (rows, mask.shape[2]), CPU)


def padded(length: int, filled: int) -> torch.Tensor:
    return attention_mask(True, torch.tensor([0, 5]), filled - length, length, CPU)


def tree() -> torch.Tensor:
    """Two chains from one root, in each row at its own columns behind 200."""
    parents = [[-1, 0, 0, 1, 2], [-1, 0, 1, 0, 3]]
    mask = torch.zeros(2, 1, 5, 205, dtype=torch.bool)
    mask[..., :200] = True
    for row, above in enumerate(parents):
        for token, parent in enumerate(above):
            mask[row, 0, token, 200 + token] = True
            if parent >= 0:
                mask[row, 0, token, 200:] |= mask[row, 0, parent, 200:]
    return mask


MASKS = {
    "padded prompt": lambda: padded(140, 140),
    "padded step": lambda: cached(padded(1, 130)),
    "padded block": lambda: cached(padded(6, 130)),
    "tree": lambda: cached(tree()),
    "chain": lambda: cached(stair(5, 205, CPU)),
    "step": lambda: cached(torch.ones(1, 1, 1, 205, dtype=torch.bool)),
    "first columns": lambda: cached(torch.ones(1, 1, 3, 7, dtype=torch.bool)),
}
