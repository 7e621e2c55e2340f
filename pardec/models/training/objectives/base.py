"""What a model family is: settings of its objective, the kind of attention, and a loss."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

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
    """Holds a field `family`, a literal of the family's name in the registry."""
    causal: ClassVar[bool]
    """Whether a position attends only to those before it."""

    architecture: ClassVar[str] = "LlamaForCausalLM"
    """The registry's name of the class that it builds."""
    taught_by: ClassVar[tuple[str, ...]] = ()
    """What it calls the other models that its training runs."""

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

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> LanguageModel:
        """Return a model of this family, its weights not yet drawn.

        It has `config`, `info` and `initialise(generator)`; matrices of modules called `layers` are optimised by
        Muon, the rest by AdamW.
        """
        from pardec.models.architectures.backbone import Backbone
        from pardec.models.training.shape import shape_of

        return Backbone(shape_of(settings, tokenizer))

    def examples(
        self, folder: Path, tokenizer: TextTokenizer, settings: TrainSettings, teachers: dict[str, nn.Module]
    ) -> tuple[Rows, int | None]:
        """Training rows of the data set in `folder`, and the canvas they fill (None for text)."""
        from pardec.models.training.examples import read_rows

        return read_rows(folder, tokenizer, settings.canvas, settings.group_by_length)

    def shown(self, batch: Batch) -> int:
        """Return tokens of a batch that the model is shown: all of them, unless the objective leaves some out."""
        return batch.tokens.numel()

    @abstractmethod
    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean loss of a batch, in nats, on the batch's device. Every random choice comes from `generator`,
        a generator of the CPU: choices are the same on every device."""
