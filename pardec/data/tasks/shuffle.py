"""Shuffle: the items in any order. `shuffle c a b =` -> `b c a`."""

from __future__ import annotations

from random import Random

from pardec.data.base import Example, same_items, words
from pardec.data.items import ItemTask


class Shuffle(ItemTask):
    """Write the given items in any order, each as often as it was given.

    Many answers are right, so tokens that are committed at once without seeing each other clash: an item
    comes twice, another is lost. The order that was given is right too.
    """

    name = "shuffle"

    def example(self, rng: Random) -> Example:
        items = self.draw(rng)
        return Example(self.prompt(items), " ".join(rng.sample(items, len(items))))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """exact: the output contains just the given items; items: fraction of the items that it contains."""
        right, given = words(answer), words(output)
        return {"exact": float(sorted(right) == sorted(given)), "items": same_items(right, given)}
