"""The interface of a model family: settings of its objective, the kind of attention, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from pardec.common.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Generator, Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.base import LanguageModel
    from pardec.models.sources.train import TrainSettings
    from pardec.models.training.batches import Batch, Rows


class Family(ABC):
    """One file, one registry line."""

    Settings: ClassVar[type[Settings]]
    """Settings with a field `family`, a literal of the family's name in the registry."""
    causal: ClassVar[bool]
    """Whether a position attends only to itself and those before it."""

    architecture: ClassVar[str] = "LlamaForCausalLM"
    """The registry's name of the architecture that it builds."""
    masks: ClassVar[bool] = False
    """Whether the model reads a mask token."""
    taught_by: ClassVar[tuple[str, ...]] = ()
    """Its names for the other models that training runs."""

    def __init__(self, settings: Any):
        self.settings = settings

    @property
    def shift(self) -> bool:
        """Return whether logits at i - 1 predict position i of the canvas."""
        return False

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> LanguageModel:
        """Return a model of this family with uninitialised weights.

        It has `config`, `info` and `initialise(generator)`; matrices of modules called `layers` are optimised by
        Muon, the rest by AdamW.
        """
        from pardec.models.architectures.backbone import Backbone
        from pardec.models.training.shape import shape_of

        return Backbone(shape_of(settings, tokenizer))

    def examples(
        self, folder: Path, tokenizer: TextTokenizer, settings: TrainSettings, teachers: dict[str, nn.Module]
    ) -> tuple[Rows, int | None]:
        """Return the training rows of the data set in `folder`, and the canvas they fill (None for text)."""
        from pardec.models.training.examples import read_rows

        return read_rows(folder, tokenizer, settings.canvas, settings.group_by_length)

    def shown(self, batch: Batch) -> int:
        """Return the number of a batch's tokens that the model reads: all, unless the objective leaves some out."""
        return batch.tokens.numel()

    @abstractmethod
    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss of a batch, in nats, on the batch's device. All random numbers come from `generator`, a
        CPU generator, so they are the same on every device."""
