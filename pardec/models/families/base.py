"""What a model family is: settings of its objective, the kind of attention, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

from pardec.common.settings import Settings

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.base import LanguageModel
    from pardec.models.batches import Batch


class Family(ABC):
    """One file, one registry line."""

    Settings: ClassVar[type[Settings]]
    """Holds a field `family`, a literal of the family's name in the registry."""
    causal: ClassVar[bool]
    """Whether a position attends only to those before it."""

    def __init__(self, settings: Settings):
        self.settings = settings

    @property
    def shift(self) -> bool:
        """Whether logits at i - 1 predict position i of the canvas."""
        return False

    @property
    def masks(self) -> bool:
        """Whether the model reads a mask token."""
        return False

    @abstractmethod
    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """The mean loss of a batch, in nats; every random choice comes from `generator`."""
