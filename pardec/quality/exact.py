"""Exact match: the fraction of prompts whose output is right in every token."""

from __future__ import annotations

from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, share_of, task_score


class Exact(Metric):
    """Fraction of outputs that are right by their task, with Wilson's interval."""

    name = "exact"
    title = "exact match"
    better = "higher"
    unit = "fraction"
    span = 1.0
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        return share_of([task_score(row, "exact") for row in outputs])
