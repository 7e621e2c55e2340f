"""Outputs of a causal model, in large batches, as training data of its draft."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Generator, Tensor

from pardec.common.progress import Progress
from pardec.models.architectures.base import LanguageModel

BATCH = 64
"""Rows decoded at once; prompts of similar length share a batch, for little padding."""


@torch.no_grad()
def roll_out(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    size: int,
    generator: Generator,
    temperature: float = 0.0,
    ban_eos: bool = False,
) -> list[list[int]]:
    """Return the output of `model` after each prompt: up to `size` tokens, its end token included.

    temperature: 0 takes the most probable token; above, tokens are drawn from `generator`. ban_eos: write no token
    that ends a text.
    """
    order = sorted(range(len(prompts)), key=lambda index: len(prompts[index]))
    written: list[list[int]] = [[] for _ in prompts]
    progress = Progress("the target's own outputs", len(prompts))
    for first in range(0, len(order), BATCH):
        chosen = order[first : first + BATCH]
        tokens = _batch(model, [prompts[index] for index in chosen], size, generator, temperature, ban_eos)
        for index, row in zip(chosen, tokens.tolist(), strict=True):
            end = next((at for at, token in enumerate(row) if token in model.info.ends), size)
            written[index] = row[: end + 1]
        progress.update(first + len(chosen), "")
    return written


def _batch(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    size: int,
    generator: Generator,
    temperature: float,
    ban_eos: bool,
) -> Tensor:
    """Return [B, size] long, at least up to the end token of each row."""
    ends, width = model.info.ends, max(map(len, prompts))
    device = next(model.parameters()).device
    rows = [[model.info.pad_id] * (width - len(prompt)) + list(prompt) for prompt in prompts]
    tokens = torch.tensor(rows, device=device)
    pad = torch.tensor([width - len(prompt) for prompt in prompts], device=device)
    cache = model.new_cache(len(prompts), width + size)
    written, ended = [], torch.zeros(len(prompts), 1, dtype=torch.bool, device=device)
    for _ in range(size):
        padding = pad if pad.any() else None
        logits = model(tokens, pad=padding, cache=cache, keep=slice(-1, None), canvas_start=width)[:, -1]
        if ban_eos:
            logits[:, list(ends)] = -torch.inf
        if temperature > 0:
            # Drawn on the CPU, where the generator is: one stream on every device.
            probabilities = (logits / temperature).softmax(-1).cpu()
            tokens = torch.multinomial(probabilities, 1, generator=generator).to(device)
        else:
            tokens = logits.argmax(-1, keepdim=True)
        written.append(tokens)
        for end in ends:
            ended |= tokens == end
        if bool(ended.all()):
            break
    return torch.cat(written, 1)
