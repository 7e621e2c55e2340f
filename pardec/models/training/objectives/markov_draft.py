"""The Markov head of a block draft: trained on the target's outputs, behind the draft's own predictions.

The recipe starts from a finished draft (`init`), whose weights stay as they are: only the head learns, so that what it
is worth can be told from more training of the draft. The token before a position is the right one in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.models.training.objectives.draft import Draft, DraftSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.markov import MarkovDraft
    from pardec.models.sources.train import TrainSettings


class MarkovDraftSettings(DraftSettings):
    """Learn, for a finished block draft, what the token drafted before a position says of that position."""

    family: Literal["markov_draft"] = "markov_draft"  # type: ignore[assignment]
    """The name of the family."""
    rank: int = Field(32, ge=1, le=4096)
    """Columns of the head's two tables."""


class MarkovHead(Draft):
    """The draft of its `init`, frozen, and a head that learns."""

    Settings = MarkovDraftSettings
    settings: MarkovDraftSettings
    architecture = "DFlashMarkovDraftModel"

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> MarkovDraft:
        """Return the draft and its head; of its weights only those of the head take gradients.

        Raises:
            UserError: no draft to start from, or one that does not fit the target.
        """
        from pardec.models.architectures.config import MarkovConfig
        from pardec.models.architectures.markov import MarkovDraft

        if settings.init is None:
            raise UserError("models: init", "is missing: a head needs a finished draft", "name that draft")
        plain = super().build(settings, tokenizer, teachers).config
        model = MarkovDraft(MarkovConfig(**vars(plain), rank=self.settings.rank))
        model.requires_grad_(False)
        model.before.requires_grad_(True)
        model.after.requires_grad_(True)
        return model

    def _logits(self, model: MarkovDraft, hidden: Tensor, before: Tensor) -> Tensor:
        return super()._logits(model, hidden, before) + model.bias(before)
