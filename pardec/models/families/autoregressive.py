"""Autoregressive models: each token from those before it, with one end-of-sequence token an answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.families.base import Family

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.base import LanguageModel
    from pardec.models.batches import Batch

torch = lazy("torch")


class AutoregressiveSettings(Settings):
    """Predict each token from those before it."""

    family: Literal["autoregressive"] = "autoregressive"
    """The name of the family."""


class Autoregressive(Family):
    """Causal, in every respect a plain Llama."""

    Settings = AutoregressiveSettings
    causal = True

    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Mean cross entropy, in nats, of the answers' tokens up to the first end-of-sequence token.

        Rows are moved to the left edge, so that no padding stands before them and the causal mask alone
        suffices.
        """
        width = batch.tokens.shape[1]
        columns = torch.arange(width)
        moved = (
            torch.zeros(len(batch.tokens), 1, dtype=torch.long) if batch.pad is None else batch.pad[:, None]
        )
        tokens = batch.tokens.gather(1, (columns + moved).clamp(max=width - 1))
        starts = (batch.start - moved).clamp(min=1)
        stops = batch.start - moved + batch.lengths[:, None]
        first, last = int(starts.min()), int(stops.max())
        logits = model(tokens[:, : last - 1], keep=slice(first - 1, last - 1))
        learned = ((columns >= starts) & (columns < stops))[:, first:last]
        return torch.nn.functional.cross_entropy(logits[learned], tokens[:, first:last][learned])
