"""The common base of the sequence tasks (copy, sort, shuffle, unshuffle): a short list of items, each one token."""

from __future__ import annotations

import string
from random import Random
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.data.base import Task


class ItemSettings(Settings):
    """The list of items in a prompt."""

    items: Literal["letters", "integers"] = "letters"
    """Kind of items: lower-case letters, or the integers 0 to `largest`."""
    largest: int = Field(99, ge=1, le=999)
    """The largest integer item."""
    min_items: int = Field(8, ge=2, le=200)
    """Fewest items in a prompt."""
    max_items: int = Field(12, ge=2, le=200)
    """Most items in a prompt."""
    distinct: bool = True
    """Whether all items of a prompt differ."""

    @model_validator(mode="after")
    def _possible(self) -> ItemSettings:
        if self.min_items > self.max_items:
            raise ValueError(f"min_items ({self.min_items}) exceeds max_items ({self.max_items})")
        available = 26 if self.items == "letters" else self.largest + 1
        if self.distinct and self.max_items > available:
            raise ValueError(f"max_items ({self.max_items}) exceeds the {available} distinct {self.items}")
        return self


class ItemTask(Task):
    """A task whose prompt is its name, items, and `=`."""

    Settings: ClassVar[type[ItemSettings]] = ItemSettings
    settings: ItemSettings

    def alphabet(self) -> list[str]:
        """Return every item, in ascending order."""
        if self.settings.items == "letters":
            return list(string.ascii_lowercase)
        return [str(number) for number in range(self.settings.largest + 1)]

    def draw(self, rng: Random) -> list[str]:
        """Return the items of one prompt; the count is uniform between the two bounds."""
        count = rng.randint(self.settings.min_items, self.settings.max_items)
        if self.settings.distinct:
            return rng.sample(self.alphabet(), count)
        return rng.choices(self.alphabet(), k=count)

    def symbols(self) -> list[str]:
        return [self.name, "=", *self.alphabet()]

    def max_answer_tokens(self) -> int:
        return self.settings.max_items + 1

    def prompt(self, items: list[str]) -> str:
        """Return the prompt: the task's name, the items, and an equals sign."""
        return " ".join([self.name, *items, "="])
