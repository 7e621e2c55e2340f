"""Partial scores of tasks: the share of an output that is right."""

from __future__ import annotations

from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, mean_of, task_score


class TaskScore(Metric):
    """Mean over prompts of one of the task's own scores, with a bootstrap interval over prompts."""

    better = "higher"
    unit = "fraction"
    span = 1.0
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        return mean_of(outputs, lambda row: task_score(row, self.name), context.seed)


class Cells(TaskScore):
    """Fraction of a grid's cells that are right."""

    name = "cells"
    title = "cells right"


class Rows(TaskScore):
    """Fraction of a grid's rows in which every cell is right."""

    name = "rows"
    title = "rows right"


class Parses(TaskScore):
    """Fraction of outputs that are a table of integers, right or wrong."""

    name = "parses"
    title = "parses"


class Tokens(TaskScore):
    """Fraction of positions with the right token."""

    name = "tokens"
    title = "tokens right"


class Items(TaskScore):
    """Fraction of the given items that are in the output, in any order."""

    name = "items"
    title = "items kept"
