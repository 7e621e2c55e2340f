"""Training batches: prompts with answers for tasks, stretches of text for language."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Generator, Tensor


@dataclass
class Batch:
    """One training batch.

    tokens: [B, P + N] long, prompts of P columns (left-padded) and answers of N columns. pad: [B] long, pad tokens at
    the left of each row, or None without padding. start: P, 0 for text. lengths: [B] long, tokens of each answer up to
    and including its one end-of-sequence token (N without one); later columns repeat that token. source, rows: the data
    and the indices [B] long of these rows in it; None for text.
    """

    tokens: Tensor
    pad: Tensor | None
    start: int
    lengths: Tensor
    source: AnswerRows | None = None
    rows: Tensor | None = None

    def to(self, device: str) -> Batch:
        """Return the same rows with all tensors on `device`."""
        pad, rows = (None if one is None else one.to(device) for one in (self.pad, self.rows))
        return Batch(self.tokens.to(device), pad, self.start, self.lengths.to(device), self.source, rows)


class Rows(Protocol):
    """Training rows, from which batches are drawn."""

    def draw(self, size: int, generator: Generator) -> list[Batch]:
        """Return about `size` rows on the CPU, as one batch per task; every task gets the same number of rows."""
        ...


class Mixture:
    """Rows of several tasks, each with its width and canvas: short ones need no padding to the length of long ones."""

    def __init__(self, parts: Sequence[AnswerRows]):
        self.parts = parts

    def draw(self, size: int, generator: Generator) -> list[Batch]:
        share = max(1, size // len(self.parts))
        return [batch for part in self.parts for batch in part.draw(share, generator)]


POOL = 16
"""Batches formed together when rows of similar length share one: more give less padding, and less randomness."""
SPREAD = 0.25
"""Random relative change of a row's length before rows are sorted by it."""


class AnswerRows:
    """Prompts and their answers, in passes over all rows, each pass in a new random order."""

    def __init__(
        self,
        prompts: Sequence[Sequence[int]],
        answers: Sequence[Sequence[int]],
        canvas: int,
        pad_id: int,
        eos_id: int,
        by_length: bool = False,
    ):
        """Build the rows.

        prompts, answers: token ids, each answer ended by `eos_id`. canvas: columns of an answer. by_length: whether a
        batch has answers of similar length.

        Raises:
            ValueError: no rows, or an answer longer than `canvas`.
        """
        longest = max((len(answer) for answer in answers), default=0)
        if not 0 < longest <= canvas:
            raise ValueError(f"the longest answer has {longest} tokens, the canvas {canvas}")
        width = max(len(prompt) for prompt in prompts)
        rows = [
            [pad_id] * (width - len(prompt)) + list(prompt) + list(answer) + [eos_id] * (canvas - len(answer))
            for prompt, answer in zip(prompts, answers, strict=True)
        ]
        self.tokens = torch.tensor(rows)
        self.pad = torch.tensor([width - len(prompt) for prompt in prompts])
        self.lengths = torch.tensor([len(answer) for answer in answers])
        self.start, self.by_length = width, by_length
        self._order = torch.empty(0, dtype=torch.long)

    def draw(self, size: int, generator: Generator) -> list[Batch]:
        """Return the next `size` rows, without the columns that are padding in all of them."""
        while len(self._order) < size:
            self._order = torch.cat([self._order, self._pass(size, generator)])
        rows, self._order = self._order[:size], self._order[size:]
        spare = int(self.pad[rows].min())
        pad = self.pad[rows] - spare
        tokens = self.tokens[rows, spare:]
        padding = pad if pad.any() else None
        return [Batch(tokens, padding, self.start - spare, self.lengths[rows], self, rows)]

    def _pass(self, size: int, generator: Generator) -> Tensor:
        """Return all rows in a new random order; with `by_length`, those that fill whole batches."""
        order = torch.randperm(len(self.tokens), generator=generator)
        if not self.by_length or len(order) < size:
            return order
        order = order[: len(order) // size * size]
        moved = 1 + SPREAD * (2 * torch.rand(len(order), generator=generator) - 1)
        pools = zip(order.split(POOL * size), (self.lengths[order] * moved).split(POOL * size), strict=True)
        batches = torch.cat([pool[length.argsort(stable=True)] for pool, length in pools]).view(-1, size)
        return batches[torch.randperm(len(batches), generator=generator)].flatten()


class TextRows:
    """Stretches of text, each from the start of a passage."""

    def __init__(self, passages: Sequence[Sequence[int]]):
        """Build the rows.

        Raises:
            ValueError: no passage has two tokens.
        """
        kept = sorted((list(passage) for passage in passages if len(passage) > 1), key=len)
        if not kept:
            raise ValueError("no passage has two tokens")
        self.lengths = torch.tensor([len(passage) for passage in kept])
        longest = len(kept[-1])
        self.tokens = torch.tensor([passage + [0] * (longest - len(passage)) for passage in kept])

    def draw(self, size: int, generator: Generator) -> list[Batch]:
        """Return `size` passages of one length: that of a random passage, to which longer ones are cut.

        Thus no row is padded, and short passages are not lost.
        """
        first = int(torch.randint(len(self.lengths), (1,), generator=generator))
        length = int(self.lengths[first])
        first = int(torch.searchsorted(self.lengths, length))
        rows = torch.randint(first, len(self.lengths), (size,), generator=generator)
        return [Batch(self.tokens[rows, :length], None, 0, torch.full((size,), length))]
