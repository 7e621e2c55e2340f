"""Exact log-likelihood of given tokens under an autoregressive model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from pardec.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel


def left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: Any) -> tuple[Tensor, Tensor]:
    """Return the rows aligned at their ends: tokens [B, T] long, and the number of pads before each row, [B] long."""
    longest = max(map(len, rows))
    tokens = torch.full((len(rows), longest), pad_id, dtype=torch.long)
    for index, row in enumerate(rows):
        tokens[index, longest - len(row) :] = torch.tensor(row, dtype=torch.long)
    pad = torch.tensor([longest - len(row) for row in rows])
    return tokens.to(device), pad.to(device)


@torch.inference_mode()
def answer_nats(
    model: LanguageModel, prompts: Sequence[Sequence[int]], answers: Sequence[Sequence[int]], batch: int = 16
) -> list[list[float]]:
    """Return the nats of each answer token given the prompt and the answer tokens before it.

    prompts: token ids, at least one each (the last predicts the first token of the answer). answers: token ids, at
    least one each.

    Raises:
        UserError: the model is not causal, so it has no exact likelihood.
    """
    if model.info.attention != "causal":
        raise UserError(
            "likelihood", "is exact for autoregressive models only", "measure the bound of this model"
        )
    device = next(model.parameters()).device
    nats: list[list[float]] = []
    for start in range(0, len(answers), batch):
        heads, tails = prompts[start : start + batch], answers[start : start + batch]
        rows = [[*head, *tail] for head, tail in zip(heads, tails, strict=True)]
        tokens, pad = left_padded(rows, model.info.pad_id, device)
        longest = max(map(len, tails))
        # Logits at i predict i + 1, and answers end where rows end.
        stop = tokens.shape[1]
        logits = model(tokens, pad, keep=slice(stop - 1 - longest, stop - 1))
        lost = torch.nn.functional.cross_entropy(
            logits.float().transpose(1, 2), tokens[:, stop - longest :], reduction="none"
        )
        nats += [row[longest - len(tail) :] for row, tail in zip(lost.tolist(), tails, strict=True)]
    return nats
