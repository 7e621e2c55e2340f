"""The convolutions and the selector of DFlash 2 behind a finished draft: trained on the target's outputs.

The recipe starts from a finished draft (`init`), whose weights stay as they are, so that what the additions are worth
can be told from more training of the draft. The token before a position is the right one in training, and all tokens of
the vocabulary compete; when it drafts, the selector chooses among the most probable ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

from pydantic import Field

from pardec.common.errors import UserError
from pardec.models.training.objectives.draft import Draft, DraftSettings

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.dflash2 import DFlash2Draft, DFlash2Layer
    from pardec.models.sources.train import TrainSettings


class SelectorDraftSettings(DraftSettings):
    """Learn, for a finished block draft, which tokens of neighbouring positions belong together (DFlash 2)."""

    family: Literal["selector_draft"] = "selector_draft"  # type: ignore[assignment]
    """The name of the family."""
    rank: int = Field(32, ge=1, le=4096)
    """Columns of the selector's two tables."""
    top_k: int = Field(16, ge=1, le=1024)
    """Tokens per position among which the selector chooses."""
    kernel: int = Field(2, ge=1, le=16)
    """Positions that a convolution reads, its own included."""
    group: int = Field(16, ge=1, le=4096)
    """Channels that share a coefficient of a convolution; a divisor of the width."""
    convolutions: bool = True
    """Whether the convolutions learn too; without, they stay without effect, and the selector is what is learned."""


class SelectorHead(Draft):
    """The draft of its `init`, frozen, with convolutions and a selector that learn."""

    Settings = SelectorDraftSettings
    settings: SelectorDraftSettings
    architecture = "DFlash2DraftModel"

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> DFlash2Draft:
        """Return the draft with its additions; of its weights only theirs take gradients.

        Raises:
            UserError: no draft to start from, one that does not fit the target, or a group that does not divide its
                width.
        """
        from pardec.models.architectures.dflash2 import DFlash2Draft
        from pardec.models.checkpoints.formats.dflash2 import DFlash2Config

        if settings.init is None:
            raise UserError(
                "models: init", "is missing: a selector needs a finished draft", "name that draft"
            )
        plain, asked = super().build(settings, tokenizer, teachers).config, self.settings
        if plain.hidden % asked.group:
            what = f"is {asked.group}, which does not divide a width of {plain.hidden}"
            raise UserError("models: objective.group", what, "give a divisor of size.hidden")
        more = {name: getattr(asked, name) for name in ("kernel", "group", "rank", "top_k")}
        model = DFlash2Draft(DFlash2Config(**vars(plain), **more))
        model.requires_grad_(False)
        learned, layers = [model.before, model.after, model.gate], cast("list[DFlash2Layer]", [*model.layers])
        for layer in layers:
            layer.period = asked.block
            if asked.convolutions:
                learned += [
                    layer.attention_fixed,
                    layer.attention_changes,
                    layer.mlp_fixed,
                    layer.mlp_changes,
                ]
        for parameter in learned:
            parameter.requires_grad_(True)
        return model

    def _logits(self, model: DFlash2Draft, hidden: Tensor, before: Tensor) -> Tensor:
        return super()._logits(model, hidden, before) + model.edges(hidden, before[:, None])[:, 0]
