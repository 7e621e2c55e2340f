"""The Monte-Carlo bound on a masked-diffusion model's likelihood (LLaDA: Nie et al. 2025, equation 6)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import torch

from pardec.common.errors import UserError
from pardec.quality.autoregressive import left_padded

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

    Job = tuple[int, Tensor]
    """A record's index and the tokens of its answer to mask."""


def draw_mask(length: int, generator: torch.Generator) -> Tensor:
    """Return the tokens to mask, [length] bool: k of them, k uniform in 1..length, all subsets equally likely."""
    k = int(torch.randint(1, length + 1, (), generator=generator))
    mask = torch.zeros(length, dtype=torch.bool)
    mask[torch.randperm(length, generator=generator)[:k]] = True
    return mask


@torch.inference_mode()
def bound_draws(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    names: Sequence[str],
    samples: int,
    seed: int,
    batch: int = 16,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[list[float]]:
    """Return draws of an upper bound on each answer's nats: `samples` per record; their mean estimates the bound.

    A draw masks exactly k answer tokens, k uniform in 1..n, and is the cross-entropy summed over them divided by k / n.
    prompts, answers: token ids, at least one each. names: one per record; its random stream depends on seed and name
    alone, not on the batch or other records. progress: called with (done, total) draws.

    Raises:
        UserError: the model has no mask token.
    """
    if model.info.mask_id is None:
        raise UserError("likelihood bound", "needs a model with a mask token", "measure the exact likelihood")
    device = next(model.parameters()).device
    jobs = [
        (record, draw_mask(len(answers[record]), generator))
        for record, name in enumerate(names)
        for generator in [_stream(seed, name)]
        for _ in range(samples)
    ]
    draws: list[list[float]] = [[] for _ in names]
    done = 0
    for part in _same_length(jobs, batch):
        for (record, _), nats in zip(part, _masked_nats(model, prompts, answers, part, device), strict=True):
            draws[record].append(nats)
        done += len(part)
        progress(done, len(jobs))
    return draws


def _same_length(jobs: Sequence[Job], batch: int) -> Iterator[list[Job]]:
    """Yield batches of answers of one length, since the rows of a batch have one canvas start."""

    def length(job: Job) -> int:
        return len(job[1])

    for _, group in groupby(sorted(jobs, key=length), key=length):
        same = list(group)
        for start in range(0, len(same), batch):
            yield same[start : start + batch]


def _stream(seed: int, name: str) -> torch.Generator:
    digest = hashlib.sha256(f"{seed}\0{name}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


def _masked_nats(
    model: LanguageModel,
    prompts: Sequence[Sequence[int]],
    answers: Sequence[Sequence[int]],
    jobs: Sequence[Job],
    device: Any,
) -> list[float]:
    """Return the cross-entropy summed over the masked tokens of each job's answer, divided by their share.

    jobs: of answers of one length.
    """
    rows = [[*prompts[record], *answers[record]] for record, _ in jobs]
    tokens, pad = left_padded(rows, model.info.pad_id, device)
    stop = tokens.shape[1]
    masked = torch.stack([mask for _, mask in jobs]).to(device)
    start = stop - masked.shape[1]
    assert model.info.mask_id is not None
    canvas = tokens.clone()
    canvas[:, start:][masked] = model.info.mask_id
    logits = model.denoise(canvas, pad, start, stop)
    lost = torch.nn.functional.cross_entropy(
        logits.float().transpose(1, 2), tokens[:, start:], reduction="none"
    )
    summed = (lost.double() * masked).sum(1).tolist()
    shares = masked.double().mean(1).tolist()
    return [nats / share for nats, share in zip(summed, shares, strict=True)]
