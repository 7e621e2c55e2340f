"""Block-causal attention masks: a causal prompt, and behind it blocks that see all of themselves and of earlier blocks.

With blocks of one token this is causal attention. Arriola et al. 2025, BD3-LM, arXiv:2503.09573.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pardec.models.architectures.attention import Layout


def block_order(prompt: int, answer: int, block: int, device: str | torch.device = "cpu") -> Tensor:
    """Return a number for each of `prompt` + `answer` positions, [P + A] long: a position attends to those with an
    equal or a smaller number. Prompt tokens have one each, below 0; blocks count from 0."""
    places = torch.arange(-prompt, answer, device=device)
    return torch.where(places < 0, places, places.div(block, rounding_mode="floor"))


def block_causal(
    prompt: int, answer: int, block: int, pad: Tensor | None = None, device: str | torch.device = "cpu"
) -> Layout:
    """Return the layout of a pass over a prompt and `answer` positions behind it, without a cache.

    pad: [B] long, pad tokens at the left of each row; None means none.
    """
    order = block_order(prompt, answer, block, device)
    return _layout(torch.arange(prompt + answer, device=device), order[None] <= order[:, None], pad)


def two_copies(
    prompt: int,
    answer: int,
    block: int,
    pad: Tensor | None = None,
    noisy: int = 1,
    device: str | torch.device = "cpu",
) -> Layout:
    """Return the layout of a training pass: prompt, the clean answer, then `noisy` masked copies of the answer.

    prompt, answer: their tokens P and A; the pass has P + (1 + noisy) A. pad: [B] long, pad tokens at the left of each
    row; None means none.

    A clean block attends to itself and to what precedes it; a noisy block to itself and to the clean tokens before it,
    never to their noisy copies, nor to its own clean copy.
    """
    clean = block_order(prompt, answer, block, device)
    order = torch.cat([clean, clean[prompt:].repeat(noisy)])
    copies = torch.arange(1, noisy + 1, device=device).repeat_interleave(answer)
    copy = torch.cat([copies.new_zeros(prompt + answer), copies])
    places = torch.arange(prompt + answer, device=device)
    earlier = (copy == 0)[None] & (order[None] < order[:, None])
    same = (copy[None] == copy[:, None]) & (order[None] == order[:, None])
    return _layout(torch.cat([places, places[prompt:].repeat(noisy)]), earlier | same, pad)


def _layout(places: Tensor, allowed: Tensor, pad: Tensor | None) -> Layout:
    """Return the layout of tokens at columns `places` [T] with the mask `allowed` [T, T]; padding is left out, but for
    a pad token's view of itself, without which its row of the mask would be empty."""
    if pad is None:
        return Layout(places[None], allowed[None, None], len(places))
    real = places >= pad[:, None]
    mask = (allowed & real[:, None]) | torch.eye(len(places), dtype=torch.bool, device=places.device)
    return Layout((places - pad[:, None]).clamp(min=0), mask[:, None], len(places))
