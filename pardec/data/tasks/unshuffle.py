"""Unshuffle: items come with their places; undo the shuffle. `unshuffle 2 d 0 a 1 c =` -> `a c d`."""

from __future__ import annotations

from random import Random
from typing import Literal

from pydantic import Field

from pardec.data.base import Example, same_places, words
from pardec.data.items import ItemSettings, ItemTask


class UnshuffleSettings(ItemSettings):
    """The items to put in order. They are letters, since the places are integers."""

    items: Literal["letters"] = "letters"
    """What the items are: lower-case letters."""
    max_items: int = Field(12, ge=2, le=26)
    """Most items in a prompt."""


class Unshuffle(ItemTask):
    """Put each item at the place written before it; places count from 0, and one answer is right."""

    name = "unshuffle"
    Settings = UnshuffleSettings

    def example(self, rng: Random) -> Example:
        items = self.draw(rng)
        pairs = rng.sample(list(enumerate(items)), len(items))
        return Example(self.prompt([f"{place} {item}" for place, item in pairs]), " ".join(items))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; tokens: fraction of positions with the right item."""
        return {"exact": float(output == answer), "tokens": same_places(words(answer), words(output))}

    def symbols(self) -> list[str]:
        return [*super().symbols(), *(str(place) for place in range(self.settings.max_items))]
