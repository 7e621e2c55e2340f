"""Sort: the items in ascending order. `sort 41 7 12 =` -> `7 12 41`."""

from __future__ import annotations

from random import Random
from typing import Literal

from pardec.data.base import Example, same_items, same_places, words
from pardec.data.items import ItemSettings, ItemTask


class SortSettings(ItemSettings):
    """The items to sort."""

    items: Literal["letters", "integers"] = "integers"
    """What the items are: lower-case letters, or the integers 0 to `largest`."""


class Sort(ItemTask):
    """Write the given items in ascending order; every output token depends on all input tokens."""

    name = "sort"
    Settings = SortSettings

    def example(self, rng: Random) -> Example:
        items = self.draw(rng)
        return Example(self.prompt(items), " ".join(sorted(items, key=self.alphabet().index)))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; tokens: fraction of right places; items: fraction of the items kept, in any
        order."""
        right, given = words(answer), words(output)
        return {
            "exact": float(output == answer),
            "tokens": same_places(right, given),
            "items": same_items(right, given),
        }
