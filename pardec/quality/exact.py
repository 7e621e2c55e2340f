"""Exact match: the fraction of prompts whose output is right to the last token."""

from __future__ import annotations

from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, task_score


class Exact(Metric):
    """Fraction of outputs that their task calls right, with Wilson's interval."""

    name = "exact"
    title = "exact match"
    better = "higher"
    unit = "fraction"
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        from pardec.quality.intervals import wilson

        right = [task_score(row, "exact") for row in outputs]
        low, high = wilson(int(sum(right)), len(right))
        return Scored(sum(right) / len(right), low, high, len(right), right)
