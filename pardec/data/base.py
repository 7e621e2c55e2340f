"""The interface of a task: examples with one prompt and one right answer, and a score for any output.

Task text has one canonical form, so that tokens and text map onto each other exactly: one space between tokens,
no space around a comma or a newline.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, ClassVar

from pardec.common.settings import Settings


@dataclass(frozen=True)
class Example:
    """A prompt and its right answer (one of the right answers, where the task has several)."""

    prompt: str
    answer: str


class Task(ABC):
    """A task with exact scoring. One file, one registry line."""

    name: ClassVar[str]
    """The registry's name of the task; also the first word of its prompts."""
    Settings: ClassVar[type[Settings]]

    def __init__(self, settings: Any = None):
        self.settings = settings if settings is not None else self.Settings()

    @abstractmethod
    def example(self, rng: Random) -> Example:
        """Return one example; the same state of `rng` gives the same example."""

    def every(self) -> list[Example] | None:
        """Return all examples, in a fixed order, where the task has few; None where they cannot be listed."""
        return None

    def held_out(self) -> list[Example]:
        """Return the examples that are held out whatever the seed; by default none."""
        return []

    @abstractmethod
    def score(self, prompt: str, answer: str, output: str) -> dict[str, float]:
        """Return scores of `output` from 0 (all wrong) to 1; every task has "exact", which is 0 or 1."""

    @abstractmethod
    def symbols(self) -> list[str]:
        """Return every token that a prompt or an answer may contain, without special tokens."""

    @abstractmethod
    def max_answer_tokens(self) -> int:
        """Return the number of tokens of the longest answer, its end-of-sequence token included."""


def words(text: str) -> list[str]:
    """Return the tokens of canonical task text: words, and every comma and newline as a separate token."""
    return re.findall(r"[^ ,\n]+|[,\n]", text)


def same_places(answer: Sequence[str], output: Sequence[str]) -> float:
    """Return the fraction of positions, up to the end of the longer sequence, with the same token in both."""
    longest = max(len(answer), len(output))
    return sum(a == b for a, b in zip(answer, output, strict=False)) / longest if longest else 1.0


def same_items(answer: Sequence[str], output: Sequence[str]) -> float:
    """Return the number of tokens common to both, in any order, as a fraction of the longer sequence."""
    longest = max(len(answer), len(output))
    return (Counter(answer) & Counter(output)).total() / longest if longest else 1.0
