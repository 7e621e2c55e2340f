"""How exact a renderer is at each level, and what its energies are worth; from what its decoder told of itself."""

from __future__ import annotations

from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, mean_of


class Told(Metric):
    """Mean over prompts of a number that the decoder's `check_outputs` told, with a bootstrap interval."""

    better = "higher"
    unit = "fraction"

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        # An arm that is no renderer has nothing to tell; its score is empty.
        return mean_of(outputs, lambda row: (row.get("checks") or {}).get(self.name), context.seed)


class Level0(Told):
    """Fraction of roots whose chunks are all right."""

    name = "level0"
    title = "roots right"


class Level1(Told):
    """Fraction of chunks whose characters are all right, given the right chunk."""

    name = "level1"
    title = "chunks right"


class Rank0(Told):
    """Fraction of pairs (right, wrong) of chunks in which the right one has the lower energy."""

    name = "rank0"
    title = "energy rank, chunks"


class Rank1(Told):
    """The same of characters."""

    name = "rank1"
    title = "energy rank, characters"


class Separation0(Told):
    """Energy of wrong chunks less that of the right ones."""

    name = "separation0"
    title = "energy separation, chunks"
    unit = "nats"
    margin = 0.1


class Separation1(Told):
    """The same of characters."""

    name = "separation1"
    title = "energy separation, characters"
    unit = "nats"
    margin = 0.1


class Invalid(Told):
    """Tokens of a plan that are no roots, a prompt."""

    name = "invalid"
    title = "invalid roots"
    better = "lower"
    unit = "roots"
    margin = 0.5
