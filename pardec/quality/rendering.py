"""Exactness of a renderer at each level, and quality of its energies, from the checks of its decoder."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal

from pardec.quality.base import Context, Metric, Scored, mean_of


class Checked(Metric):
    """Mean over prompts of a number that the decoder's `check_outputs` returned, with a bootstrap interval."""

    better: ClassVar[Literal["higher", "lower"]] = "higher"
    unit = "fraction"
    span: ClassVar[float | None] = 1.0

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        # An arm that is not a renderer has no checks; its score is empty.
        return mean_of(outputs, lambda row: (row.get("checks") or {}).get(self.name), context.seed)


class Level0(Checked):
    """Fraction of roots whose chunks are all right."""

    name = "level0"
    title = "roots right"


class Level1(Checked):
    """Fraction of chunks whose characters are all right, given the right chunk."""

    name = "level1"
    title = "chunks right"


class Rank0(Checked):
    """Fraction of pairs (right, wrong) of chunks in which the right one has the lower energy."""

    name = "rank0"
    title = "energy rank, chunks"


class Rank1(Checked):
    """Fraction of pairs (right, wrong) of characters in which the right one has the lower energy."""

    name = "rank1"
    title = "energy rank, characters"


class Separation0(Checked):
    """Energy of wrong chunks less that of the right ones."""

    name = "separation0"
    title = "energy separation, chunks"
    unit = "nats"
    span = None
    margin = 0.1


class Separation1(Checked):
    """Energy of wrong characters less that of the right ones."""

    name = "separation1"
    title = "energy separation, characters"
    unit = "nats"
    span = None
    margin = 0.1


class Invalid(Checked):
    """Tokens of a plan that are no roots, per prompt."""

    name = "invalid"
    title = "invalid roots"
    better = "lower"
    unit = "roots"
    span = None
    margin = 0.5
