"""The number an answer ends with: how mathematical word problems are scored (GSM8K, Cobbe et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> float | None:
    """The last number of a text; where a model goes on to a next question, that of what stands before it."""
    found = NUMBER.findall(text.partition("\nQuestion:")[0])
    return float(found[-1].replace(",", "")) if found else None


class Number(Metric):
    """Fraction of outputs whose last number is the reference's (in GSM8K, what stands behind ####), with Wilson's
    interval. An output without a number is wrong."""

    name = "number"
    title = "right numbers"
    better = "higher"
    unit = "fraction"
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        from pardec.quality.intervals import wilson

        right = [
            float((found := last_number(row["text"])) is not None and found == last_number(row["answer"]))
            for row in outputs
        ]
        low, high = wilson(int(sum(right)), len(right))
        return Scored(sum(right) / len(right), low, high, len(right), right)
