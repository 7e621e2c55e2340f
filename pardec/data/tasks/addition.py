"""Addition of integers, one token a digit. `addition 1 2 + 9 =` -> `2 1`; of several sums, with `;` between."""

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
    sums: int = Field(1, ge=1, le=64)
    """Sums in one prompt, answered in order."""
    restate: bool = False
    """Whether the answer restates each sum before its result: `1 2 + 9 = 2 1`."""

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
        pairs = [(self._number(rng), self._number(rng)) for _ in range(self.settings.sums)]
        sums = [f"{' '.join(str(a))} + {' '.join(str(b))}" for a, b in pairs]
        results = [" ".join(str(a + b)) for a, b in pairs]
        if self.settings.restate:
            results = [f"{sum_} = {result}" for sum_, result in zip(sums, results, strict=True)]
        return Example(f"{self.name} {' ; '.join(sums)} =", " ; ".join(results))

    def _number(self, rng: Random) -> int:
        digits = rng.randint(self.settings.min_digits, self.settings.max_digits)
        return rng.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; tokens: fraction of right digits and separators, counted from the last."""
        right, given = words(answer)[::-1], words(output)[::-1]
        return {"exact": float(output == answer), "tokens": same_places(right, given)}

    def symbols(self) -> list[str]:
        several = [";"] if self.settings.sums > 1 else []
        return [self.name, "+", "=", *several, *"0123456789"]

    def max_answer_tokens(self) -> int:
        digits = self.settings.max_digits
        restated = 2 * digits + 2 if self.settings.restate else 0
        return (digits + 2 + restated) * self.settings.sums
