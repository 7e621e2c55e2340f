"""Addition of integers, one token a digit. `addition 1 2 + 9 =` -> `2 1`."""

from __future__ import annotations

from random import Random

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.data.base import Example, Task, same_places, words


class AdditionSettings(Settings):
    """The size of the two numbers."""

    min_digits: int = Field(1, ge=1, le=30)
    """Fewest digits of a number."""
    max_digits: int = Field(4, ge=1, le=30)
    """Most digits of a number."""

    @model_validator(mode="after")
    def _possible(self) -> AdditionSettings:
        if self.min_digits > self.max_digits:
            raise ValueError(f"min_digits ({self.min_digits}) exceeds max_digits ({self.max_digits})")
        return self


class Addition(Task):
    """Add two integers; the carry runs against the order of writing."""

    name = "addition"
    Settings = AdditionSettings
    settings: AdditionSettings

    def example(self, rng: Random) -> Example:
        a, b = self._number(rng), self._number(rng)
        return Example(f"{self.name} {' '.join(str(a))} + {' '.join(str(b))} =", " ".join(str(a + b)))

    def _number(self, rng: Random) -> int:
        digits = rng.randint(self.settings.min_digits, self.settings.max_digits)
        return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """exact; tokens: fraction of right digits, counted from the last."""
        right, given = words(answer)[::-1], words(output)[::-1]
        return {"exact": float(output == answer), "tokens": same_places(right, given)}

    def symbols(self) -> list[str]:
        return [self.name, "+", "=", *"0123456789"]

    def max_answer_tokens(self) -> int:
        return self.settings.max_digits + 2
