"""Subsets of a large canvas's positions: an example then costs the positions shown, not the whole canvas."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from torch import Generator, Tensor

    from pardec.models.training.batches import Batch

torch = lazy("torch")

BEYOND = 8
"""Positions behind an answer's end that may be shown: one for so many of its own, so that the end is learned."""


def choose_places(lengths: Tensor, count: int, width: int, generator: Generator) -> Tensor:
    """Return distinct canvas positions, ascending, [B, n] long, n the least of `count`, `width` and the longest span.

    lengths: [B] long, tokens of each answer. width: positions of the canvas. A row's span is its answer and an eighth
    more; positions are drawn uniformly from it, and from behind it only if it has fewer than n.
    """
    spans = (lengths + lengths // BEYOND + 1).clamp(max=width)
    count = min(count, width, int(spans.max()))
    drawn = torch.rand(len(lengths), width, generator=generator).to(lengths.device)
    drawn += torch.arange(width, device=lengths.device) >= spans[:, None]
    return drawn.topk(count, largest=False).indices.sort(-1).values


def draw_prompt_length(width: int, generator: Generator) -> int:
    """Return a number of tokens from 1 to three quarters of `width`, to serve as the prompt of a text without one, so
    that the model learns to continue text."""
    return int(torch.randint(1, max(width * 3 // 4, 1) + 1, (1,), generator=generator))


def shown_tokens(batch: Batch, subset: int | None) -> int:
    """Return the number of tokens of `batch` that run: its prompts, and at most `subset` of each canvas (null: all)."""
    rows, width = batch.tokens.shape
    canvas = width - batch.start
    return rows * (batch.start + (canvas if subset is None else min(subset, canvas)))
