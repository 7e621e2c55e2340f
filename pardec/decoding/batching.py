"""Left-padded batches of prompts; the end tokens of rows, and the number of tokens before them."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.base import PromptBatch

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.config import ModelInfo

torch = lazy("torch")


def prompt_seed(seed: int, prompt_id: str) -> int:
    """Return a seed in 0..2^63-1 for one prompt of a run: stable across machines, batches and orders."""
    digest = hashlib.sha256(f"{seed}\0{prompt_id}".encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def pad_left(
    prompts: Sequence[Sequence[int]], seeds: Sequence[int] | None, pad_id: int, device: Any = "cpu"
) -> PromptBatch:
    """Return prompts of token ids, left-padded to the longest.

    seeds: one per prompt (`prompt_seed`), or None where nothing is drawn (all zero).

    Raises:
        UserError: no prompt, or an empty one.
        ValueError: not one seed per prompt.
    """
    if not prompts:
        raise UserError("prompts", "there are none to decode", "give at least one prompt")
    if not all(len(prompt) for prompt in prompts):
        empty = next(row for row, prompt in enumerate(prompts) if not len(prompt))
        raise UserError(f"prompts[{empty}]", "has no tokens", "begin every prompt with a start token or text")
    if seeds is None:
        seeds = [0] * len(prompts)
    if len(seeds) != len(prompts):
        raise ValueError(f"{len(prompts)} prompts need as many seeds, not {len(seeds)}")
    longest = max(map(len, prompts))
    pad = [longest - len(prompt) for prompt in prompts]
    rows = [[pad_id] * left + list(prompt) for left, prompt in zip(pad, prompts, strict=True)]
    return PromptBatch(
        tokens=torch.tensor(rows, dtype=torch.long, device=device),
        pad=torch.tensor(pad, dtype=torch.long, device=device),
        seeds=torch.tensor(list(seeds), dtype=torch.long, device=device),
    )


def count_useful(tokens: Tensor, ends: tuple[int, ...]) -> Tensor:
    """Return the number of tokens before the first end token of each row: [B, N] long -> [B] long. Does not wait for
    the device.

    ends: all tokens that end a text (`ModelInfo.ends`).
    """
    rows, length = tokens.shape
    if not ends:
        return torch.full((rows,), length, dtype=torch.long, device=tokens.device)
    # A row is useful up to its first end: count the positions with no end at or before them.
    return (is_end(tokens, ends).cumsum(1) == 0).sum(1)


def is_end(tokens: Tensor, ends: tuple[int, ...]) -> Tensor:
    """Return whether each of `tokens`, [...] long, ends a text: [...] bool. ends: the tokens that do."""
    if not ends:
        return torch.zeros_like(tokens, dtype=torch.bool)
    ended = tokens == ends[0]
    for end in ends[1:]:
        ended = ended | (tokens == end)
    return ended


def filler(info: ModelInfo) -> int:
    """Return the token that fills a row behind its end: the first of the model's ends, or its padding where it has
    none."""
    return info.ends[0] if info.ends else info.pad_id


def ban(logits: Tensor, tokens: tuple[int, ...]) -> Tensor:
    """Set the logits [..., V] of `tokens` to -inf, in place; return them."""
    for token in tokens:
        logits[..., token] = -torch.inf
    return logits


def widened(batch: PromptBatch, length: int, pad_id: int) -> PromptBatch:
    """Return the batch with pad tokens before each row, up to `length` columns; unchanged if it has as many."""
    extra = length - batch.length
    if extra <= 0:
        return batch
    tokens = torch.nn.functional.pad(batch.tokens, (extra, 0), value=pad_id)
    return PromptBatch(tokens=tokens, pad=batch.pad + extra, seeds=batch.seeds)
