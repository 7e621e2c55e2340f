"""Brackets: close what is open. `brackets ( [ ] { =` -> `} )`."""

from __future__ import annotations

from random import Random

from pydantic import Field, model_validator

from pardec.common.settings import Settings
from pardec.data.base import Example, Task, same_places, words

PAIRS = {"(": ")", "[": "]", "{": "}"}


class BracketsSettings(Settings):
    """The prefix to complete."""

    min_prefix: int = Field(8, ge=1, le=200)
    """Fewest brackets in the prefix."""
    max_prefix: int = Field(16, ge=1, le=200)
    """Most brackets in the prefix."""

    @model_validator(mode="after")
    def _possible(self) -> BracketsSettings:
        if self.min_prefix > self.max_prefix:
            raise ValueError(f"min_prefix ({self.min_prefix}) exceeds max_prefix ({self.max_prefix})")
        return self


class Brackets(Task):
    """Write the closing brackets that a prefix still needs, innermost first."""

    name = "brackets"
    Settings = BracketsSettings
    settings: BracketsSettings

    def example(self, rng: Random) -> Example:
        length = rng.randint(self.settings.min_prefix, self.settings.max_prefix)
        prefix: list[str] = []
        needed: list[str] = []
        for _ in range(length):
            # The last open bracket stays open, so that no answer is empty.
            if len(needed) > 1 and rng.random() < 0.4:
                prefix.append(needed.pop())
            else:
                opened = rng.choice(list(PAIRS))
                prefix.append(opened)
                needed.append(PAIRS[opened])
        return Example(" ".join([self.name, *prefix, "="]), " ".join(reversed(needed)))

    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return the scores: exact; tokens: fraction of positions with the right bracket."""
        return {"exact": float(output == answer), "tokens": same_places(words(answer), words(output))}

    def symbols(self) -> list[str]:
        return [self.name, "=", *PAIRS, *PAIRS.values()]

    def max_answer_tokens(self) -> int:
        return self.settings.max_prefix + 1
