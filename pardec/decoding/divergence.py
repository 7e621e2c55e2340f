"""Where two greedy outputs part, and how close a call it was there.

In float32 a lossless decoder writes what its reference writes. In a shorter format, passes of another shape round
differently, so that two tokens of almost the same logit may change places: then what counts is how close they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from pardec.models.base import LanguageModel

torch = lazy("torch")


@dataclass(frozen=True)
class Divergence:
    """at: index of the first output token that differs. margin: by how much the best logit exceeds the second there,
    in nats, in one plain pass of the model in its own precision."""

    at: int
    margin: float


def divergence(
    model: LanguageModel,
    prompt: Sequence[int],
    mine: Sequence[int],
    other: Sequence[int],
    banned: Sequence[int] = (),
) -> Divergence | None:
    """The first difference of two outputs [N] of a causal `model` after `prompt` [P]; None where they are the same.

    banned: tokens that neither may write.

    Raises:
        ValueError: the outputs are not of one length.
    """
    pairs = zip(mine, other, strict=True)
    at = next((place for place, (one, another) in enumerate(pairs) if one != another), None)
    if at is None:
        return None
    device = next(model.parameters()).device
    tokens = torch.tensor([[*prompt, *mine[:at]]], device=device)
    with torch.inference_mode():
        logits = model(tokens, keep=slice(-1, None))[0, -1].float()
        for token in banned:
            logits[token] = -torch.inf
        best, second = logits.topk(2).values.tolist()
    return Divergence(at, best - second)
