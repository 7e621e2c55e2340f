"""The interface of a data source: settings, and a method that builds prompt records for training and measuring."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pardec.common.settings import Settings

if TYPE_CHECKING:
    from pardec.data.tokenizers import TextTokenizer


@dataclass
class Prepared:
    """Prompt records of both sides, and their facts.

    tokenizer: None if the models have their own tokenizers. ends: whether an answer is complete (then a model should
    end it), or the first part of a longer text. facts: origin of the text, for about.json.
    """

    train: list[dict]
    heldout: list[dict]
    tokenizer: TextTokenizer | None
    ends: bool
    facts: dict[str, Any] = field(default_factory=dict)


class Source(Settings, ABC):
    """A source of prompt records: settings, `source` among them, and `build`. One file, one registry line."""

    if TYPE_CHECKING:
        source: str

    @abstractmethod
    def build(self, seed: int) -> Prepared:
        """Return the records; the same settings and seed give the same records."""
