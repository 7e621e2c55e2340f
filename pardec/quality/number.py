"""The number an answer ends with: how mathematical word problems are scored (GSM8K, Cobbe et al. 2021)."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pardec.quality.base import Context, Metric, Scored, share_of

NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")


def last_number(text: str) -> float | None:
    """The last number of a text; where a model goes on to a next question, that of what stands before it."""
    found = NUMBER.findall(text.partition("\nQuestion:")[0])
    return float(found[-1].replace(",", "")) if found else None


def same_number(text: str, answer: str) -> bool:
    """Whether a text ends with the number that the answer ends with; one without a number does not."""
    found = last_number(text)
    return found is not None and found == last_number(answer)


class Number(Metric):
    """Fraction of outputs whose last number is the reference's (in GSM8K, what stands behind ####), with Wilson's
    interval. An output without a number is wrong."""

    name = "number"
    title = "right numbers"
    better = "higher"
    unit = "fraction"
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        return share_of([float(same_number(row["text"], row["answer"])) for row in outputs])
