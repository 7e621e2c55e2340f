"""Copy: repeat the items. `copy c a b =` -> `c a b`."""

from __future__ import annotations

from random import Random

from pardec.data.base import Example, same_places, words
from pardec.data.items import ItemTask


class Copy(ItemTask):
    """Repeat the given items in their order; every output token depends on one input token only."""

    name = "copy"

    def example(self, rng: Random) -> Example:
        items = self.draw(rng)
        return Example(self.prompt(items), " ".join(items))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; tokens: fraction of positions with the right item."""
        return {"exact": float(output == answer), "tokens": same_places(words(answer), words(output))}
