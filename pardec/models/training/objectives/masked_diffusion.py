"""Masked diffusion models: the tokens behind a random set of masks, from all the others (Nie et al. 2025,
LLaDA, arXiv:2502.09992; the count of masks is drawn exactly, as in LLaDA's likelihood estimate, not each
mask by itself)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field, model_validator

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.models.training.objectives.base import Family
from pardec.models.training.subsets import choose_places, draw_prompt_length, shown_tokens

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.architectures.base import LanguageModel
    from pardec.models.training.batches import Batch

torch = lazy("torch")


class MaskedDiffusionSettings(Settings):
    """Predict every masked token of a canvas from all unmasked tokens."""

    family: Literal["masked_diffusion"] = "masked_diffusion"
    """The name of the family."""
    shift: bool = False
    """The logits at a position predict the next one, as in the autoregressive model whose weights it starts
    from."""
    whole: float = Field(0.0, ge=0, le=1)
    """Share of examples whose canvas is masked entirely, beyond those that chance masks entirely."""
    subset: int | None = Field(None, ge=1)
    """Canvas positions that an example shows, drawn at random; null shows all. For large canvases of models
    whose only positions are learned ones: positions left out cost nothing."""

    @model_validator(mode="after")
    def _no_shift(self) -> MaskedDiffusionSettings:
        if self.subset is not None and self.shift:
            raise ValueError("subset: a shifted model reads the position before, which a subset may lack")
        return self


class MaskedDiffusion(Family):
    """Bidirectional; every end-of-sequence token that fills a canvas is learned."""

    Settings = MaskedDiffusionSettings
    settings: MaskedDiffusionSettings
    causal = False
    masks = True

    @property
    def shift(self) -> bool:
        return self.settings.shift

    def shown(self, batch: Batch) -> int:
        return shown_tokens(batch, self.settings.subset)

    def loss(self, model: LanguageModel, batch: Batch, generator: Generator) -> Tensor:
        """Return the mean over rows of the mean cross entropy, in nats, at a row's masked positions.

        If `whole` is 0, its expectation is an upper bound on an answer's negative log-likelihood per token. A text
        without a prompt (start 0) gets one.
        """
        size = batch.tokens.shape[1]
        start = batch.start or draw_prompt_length(size, generator)
        answer = batch.tokens[:, start:]
        places = None
        if self.settings.subset is not None:
            places = choose_places(batch.lengths, self.settings.subset, answer.shape[1], generator)
            answer = answer.gather(1, places)
        drawn = choose_masks(len(answer), answer.shape[1], generator, self.settings.whole)
        masked, counts = (each.to(answer.device) for each in drawn)
        canvas = torch.cat([batch.tokens[:, :start], answer.masked_fill(masked, model.info.mask_id)], 1)
        if places is None:
            logits = model.denoise(canvas, batch.pad, start, size)
        else:
            kept = slice(start, None)
            logits = model(canvas, pad=batch.pad, keep=kept, canvas_start=start, places=places)
        losses = torch.nn.functional.cross_entropy(logits[masked], answer[masked], reduction="none")
        weights = (1.0 / counts)[:, None].expand(masked.shape)[masked]
        return (losses * weights).sum() / len(answer)


def choose_masks(rows: int, size: int, generator: Generator, whole: float = 0.0) -> tuple[Tensor, Tensor]:
    """Return the positions to mask, [rows, size] bool, and their counts, [rows] long, on the CPU.

    A row's count k is uniform in 1..size, and each set of k positions is equally likely; with probability
    `whole` the count is `size` instead.
    """
    counts = torch.randint(1, size + 1, (rows,), generator=generator)
    if whole:
        counts[torch.rand(rows, generator=generator) < whole] = size
    ranks = torch.rand(rows, size, generator=generator).argsort(-1).argsort(-1)
    return ranks < counts[:, None], counts
