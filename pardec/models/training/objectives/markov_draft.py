"""The Markov head of a block draft: trained on the target's outputs, behind the draft's own predictions.

The recipe starts from a finished draft (`init`), whose weights stay as they are: only the head learns, so that what it
is worth can be told from more training of the draft. The token before a position is the right one in training.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.models.training.objectives.draft import Draft, DraftSettings, _sight

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

    from pardec.data.tokenizers import TextTokenizer
    from pardec.models.architectures.markov import MarkovDraft
    from pardec.models.sources.train import TrainSettings
    from pardec.models.training.batches import Batch

torch = lazy("torch")


class MarkovDraftSettings(DraftSettings):
    """Learn, for a finished block draft, what the token drafted before a position says of that position."""

    family: Literal["markov_draft"] = "markov_draft"  # type: ignore[assignment]
    """The name of the family."""
    rank: int = Field(32, ge=1, le=4096)
    """Columns of the head's two tables."""


class MarkovHead(Draft):
    """The draft of its `init`, frozen, and a head that learns."""

    Settings: ClassVar[Any] = MarkovDraftSettings  # type: ignore[misc]
    settings: MarkovDraftSettings
    architecture = "DFlashMarkovDraftModel"

    def build(
        self, settings: TrainSettings, tokenizer: TextTokenizer, teachers: dict[str, nn.Module]
    ) -> MarkovDraft:
        """Return the draft and its head; of its weights only those of the head take gradients.

        Raises:
            UserError: no draft to start from, or one that does not fit the target.
        """
        from pardec.models.architectures.markov import MarkovConfig, MarkovDraft
        from pardec.models.checkpoints.formats import markov  # noqa: F401  (it says how this draft is written)

        if settings.init is None:
            raise UserError("models: init", "is missing: a head needs a finished draft", "name that draft")
        plain = super().build(settings, tokenizer, teachers).config
        model = MarkovDraft(MarkovConfig(**vars(plain), rank=self.settings.rank))
        model.requires_grad_(False)
        model.before.requires_grad_(True)
        model.after.requires_grad_(True)
        return model

    def loss(self, model: MarkovDraft, batch: Batch, generator: Generator) -> Tensor:
        """Return the weighted mean cross entropy, in nats, of the tokens behind random anchors, each given the token
        before it."""
        from pardec.models.architectures.attention import Layout

        size, count = self.settings.block, self.settings.anchors
        stop = batch.start + int(batch.lengths.max())
        tokens, rows, device = batch.tokens[:, :stop], len(batch.tokens), batch.tokens.device
        pad = torch.zeros_like(batch.lengths) if batch.pad is None else batch.pad
        with torch.no_grad():
            drawn = torch.rand(rows, count, generator=generator).to(device)
            anchors = batch.start + (drawn * (batch.lengths - 1).clamp(min=1)[:, None]).long()
            columns = anchors[..., None] + torch.arange(size, device=device)
            right = tokens.gather(1, columns.flatten(1).clamp(max=stop - 1)).view(rows, count, size)
            learned = (columns < (batch.start + batch.lengths)[:, None, None])[..., 1:]
            context = torch.arange(stop, device=device).expand(rows, -1)
            positions = torch.cat([context, columns.flatten(1)], 1) - pad[:, None]
            positions = positions.clamp(0, model.config.max_positions - 1)
            layout = Layout(positions, _sight(anchors, pad, stop, size), positions.shape[1])
            inputs = torch.full_like(right, model.config.mask_id)
            inputs[..., 0] = right[..., 0]
            block = torch.nn.functional.embedding(inputs.flatten(1), self.target.embedding)
            hidden = model(block, model.fuse(self.tapped.read(batch, stop)), layout=layout)
            logits = self.target.read(hidden.view(rows, count, size, -1)[:, :, 1:][learned])
        logits = logits + model.bias(right[..., :-1][learned])
        each = torch.nn.functional.cross_entropy(logits, right[..., 1:][learned], reduction="none")
        weights = self._weights(each.detach(), learned)
        return (each * weights).sum() / weights.sum()
