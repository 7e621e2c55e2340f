"""Hidden states of a target for the sequences that its draft learns from, computed once per sequence: training visits
each several times, and the target does not change."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pardec.models.architectures.base import LanguageModel
from pardec.models.training.batches import AnswerRows, Batch

LIMIT = 3 << 29
"""Bytes of hidden states kept for one set of rows; for a larger set they are computed each time."""


class Tapped:
    """Hidden states of the target's layers `taps`, by batch."""

    def __init__(self, target: LanguageModel, taps: tuple[int, ...], limit: int = LIMIT):
        self.target, self.taps, self.limit = target, taps, limit
        self._kept: WeakKeyDictionary[AnswerRows, tuple[Tensor, Tensor]] = WeakKeyDictionary()

    @torch.no_grad()
    def read(self, batch: Batch, stop: int) -> Tensor:
        """Return the hidden states [B, stop, taps · hidden] of the columns before `stop`; undefined at padding and
        behind a row's answer."""
        source, rows = batch.source, batch.rows
        if source is None or rows is None or not self._fits(source):
            return self._run(batch.tokens[:, :stop], batch.pad, batch.start)
        kept, known = self._store(source)
        spare, new = source.start - batch.start, ~known[rows]
        if bool(new.any()):
            pad = None if batch.pad is None else batch.pad[new]
            kept[rows[new], spare : spare + stop] = self._run(batch.tokens[new, :stop], pad, batch.start)
            known[rows[new]] = True
        return kept[rows, spare : spare + stop]

    def _store(self, source: AnswerRows) -> tuple[Tensor, Tensor]:
        """Return the stored hidden states of a set of rows, [n, P + N, taps · hidden], and the known rows, [n] bool."""
        if source not in self._kept:
            # Zeros, since masked positions must still be finite.
            kept = self.target.embedding.new_zeros(*source.tokens.shape, self._width())
            self._kept[source] = kept, kept.new_zeros(len(source.tokens), dtype=torch.bool)
        return self._kept[source]

    def _fits(self, source: AnswerRows) -> bool:
        return source.tokens.numel() * self._width() * self.target.embedding.element_size() <= self.limit

    def _width(self) -> int:
        return len(self.taps) * self.target.info.hidden

    def _run(self, tokens: Tensor, pad: Tensor | None, start: int) -> Tensor:
        _, features = self.target(tokens, pad=pad, keep=slice(0, 1), canvas_start=start, taps=self.taps)
        return features
