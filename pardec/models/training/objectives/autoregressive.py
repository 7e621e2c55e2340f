"""Autoregressive models: each token from those before it, with one end-of-sequence token per answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.base import Family
from pardec.models.training.subsets import choose_places, shown_tokens

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.architectures.base import LanguageModel
    from pardec.models.training.batches import Batch

torch = lazy("torch")


class AutoregressiveSettings(Settings):
    """Predict each token from those before it."""

    family: Literal["autoregressive"] = "autoregressive"
    """The name of the family."""
    subset: int | None = Field(None, ge=1)
    """Canvas positions that an example shows, drawn at random, each learning the token that follows it; null
    shows all. For large canvases of models whose only positions are learned ones."""
    guesses: float = Field(0.0, ge=0, le=1)
    """Share of examples whose shown tokens are replaced by random ones, so that the model learns to be right
    after a wrong guess too, as Jacobi decoding needs it (the idea of consistency models, Kou et al. 2024,
    arXiv:2403.00835, without their trajectories). Only with `subset`."""

    @model_validator(mode="after")
    def _shown(self) -> AutoregressiveSettings:
        if self.guesses and self.subset is None:
            raise ValueError("guesses: needs subset")
        return self


class Autoregressive(Family):
    """Causal; a plain Llama, unless it gets learned positions."""

    Settings = AutoregressiveSettings
    causal = True

    def shown(self, batch: Batch) -> int:
        return shown_tokens(batch, self.settings.subset)

    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean cross entropy, in nats, of the answers' tokens up to the first end-of-sequence token.

        Rows are moved to the left edge, so that no padding precedes them and the causal mask alone suffices.
        """
        if self.settings.subset is not None:
            return self._subset_loss(model, batch, generator)
        width = batch.tokens.shape[1]
        columns = torch.arange(width, device=batch.tokens.device)
        moved = torch.zeros_like(batch.tokens[:, :1]) if batch.pad is None else batch.pad[:, None]
        tokens = batch.tokens.gather(1, (columns + moved).clamp(max=width - 1))
        starts = (batch.start - moved).clamp(min=1)
        stops = batch.start - moved + batch.lengths[:, None]
        first, last = int(starts.min()), int(stops.max())
        logits = model(tokens[:, : last - 1], keep=slice(first - 1, last - 1))
        learned = ((columns >= starts) & (columns < stops))[:, first:last]
        return torch.nn.functional.cross_entropy(logits[learned], tokens[:, first:last][learned])

    def _subset_loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the loss at some positions only: the answer's first token, and the tokens after the shown ones."""
        start = batch.start
        prompt, answer = batch.tokens[:, :start], batch.tokens[:, start:]
        places = choose_places(batch.lengths - 1, self.settings.subset, answer.shape[1] - 1, generator)
        shown = answer.gather(1, places)
        if self.settings.guesses:
            shown = guess(shown, model.info.vocab_size, self.settings.guesses, generator)
        tokens = torch.cat([prompt, shown], 1)
        targets = torch.cat([answer[:, :1], answer.gather(1, places + 1)], 1)
        learned = torch.nn.functional.pad(places + 1 < batch.lengths[:, None], (1, 0), value=True)
        kept = slice(start - 1, None)
        logits = model(tokens, pad=batch.pad, keep=kept, canvas_start=start, places=places)
        return torch.nn.functional.cross_entropy(logits[learned], targets[learned])


def guess(tokens: Tensor, vocab_size: int, share: float, generator: Generator) -> Tensor:
    """Return the rows of `tokens` [B, n], a `share` of them replaced: half of those by one repeated token, half by
    a random token at each position."""
    rows, size = tokens.shape
    drawn = torch.randint(vocab_size, (rows, size), generator=generator).to(tokens.device)
    kind = torch.rand(rows, 1, generator=generator).to(tokens.device)
    drawn = torch.where(kind < share / 2, drawn[:, :1], drawn)
    return torch.where(kind < share, drawn, tokens)
