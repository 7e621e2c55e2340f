"""distinct-n: the share of distinct n-grams of a text (Li et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from pardec.quality.base import Context, Metric, Scored, mean_of


class Distinct(Metric):
    """Distinct word n-grams of an output, divided by all of its n-grams; the mean over outputs.

    Counted within one output, so it depends neither on the number of outputs nor a shared prompt. Words are separated
    by spaces, so models with different tokenizers are comparable. An output of fewer than n words has no score.
    """

    better = "higher"
    unit = "fraction"
    span = 1.0
    order: ClassVar[int]

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        return mean_of(outputs, lambda row: distinct_share(row["text"].split(), self.order), context.seed)


def distinct_share(words: Sequence[str], n: int) -> float | None:
    """Return the number of distinct n-grams divided by that of all n-grams; None without any."""
    grams = [tuple(words[start : start + n]) for start in range(len(words) - n + 1)]
    return len(set(grams)) / len(grams) if grams else None


class Distinct1(Distinct):
    """distinct-1."""

    name = "distinct_1"
    title = "distinct-1"
    order = 1


class Distinct2(Distinct):
    """distinct-2."""

    name = "distinct_2"
    title = "distinct-2"
    order = 2


class Distinct3(Distinct):
    """distinct-3."""

    name = "distinct_3"
    title = "distinct-3"
    order = 3
