"""The first difference of two greedy outputs, and the margin of the logits at that position.

In float32 a lossless decoder writes the tokens of its target. In a shorter format, passes of another shape round
differently, so two tokens with almost equal logits may swap (Yuan et al. 2025, arXiv:2506.09501). The test is then
how close they were, and whether each written token is the best up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.decoding.commits import entropy

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

ROWS = 64
"""Positions whose logits are processed together."""


@dataclass(frozen=True)
class PlainPass:
    """Facts about the tokens of an output from one plain pass of a model, in the model's precision.

    margins: per token, best logit minus second best, in nats. behind_ulp: the largest gap between the best logit and
    that of the written token, in units in the last place (of the largest logit at that position); 0 where every written
    token is the best. entropy: of the model's prediction, in nats, mean over the tokens.
    """

    margins: list[float]
    behind_ulp: float
    entropy: float


@dataclass(frozen=True)
class Divergence:
    """The first difference of two outputs. at: index of the first output token that differs. margin: best logit minus
    second best at that position, in nats, in one plain pass of the model in its precision."""

    at: int
    margin: float


def plain_pass(
    model: LanguageModel,
    prompt: Tensor,
    output: Tensor,
    banned: Sequence[int] = (),
    pad: Tensor | None = None,
) -> PlainPass:
    """Return the facts of `output` [N] after `prompt` [1, P] from one pass of a causal `model`.

    banned: tokens that the output may not contain. pad: [1], the number of pad tokens before the prompt.

    Raises:
        ValueError: the output is empty, or contains a banned token.
    """
    if not len(output) or set(banned) & set(output.tolist()):
        raise ValueError(f"no output of a decoder that bans {list(banned)}: {output.tolist()}")
    tokens, start = torch.cat([prompt, output[None, :-1]], 1), prompt.shape[1]
    with torch.inference_mode():
        logits = model(tokens, pad=pad, keep=slice(start - 1, None), canvas_start=start)[0]
        # Float32 copies of a few rows at a time: with a large vocabulary, copies of all would exceed the measured peak.
        parts = [
            _choices(part.float(), chosen, banned, torch.finfo(logits.dtype).eps)
            for part, chosen in zip(logits.split(ROWS), output.split(ROWS), strict=True)
        ]
        margins, behind, unsure = (torch.cat(part) for part in zip(*parts, strict=True))
    return PlainPass(margins.tolist(), float(behind.max()), float(unsure.double().mean()))


def _choices(
    logits: Tensor, chosen: Tensor, banned: Sequence[int], eps: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return for each row of `logits` [n, V] the margin of the best in nats, the gap from it to `chosen` [n] in ulp,
    and the entropy in nats."""
    ulp = eps * 2.0 ** logits.abs().amax(1).log2().floor()
    logits[:, list(banned)] = -torch.inf
    best, second = logits.topk(2).values.unbind(1)
    behind = (best - logits.gather(1, chosen[:, None])[:, 0]) / ulp
    return best - second, behind, entropy(logits, None)[0]


def parting(one: Sequence[int], other: Sequence[int]) -> int | None:
    """Return the index of the first token in which two outputs differ, or the length of the shorter; None where they
    are equal."""
    shorter = min(len(one), len(other))
    at = next((place for place in range(shorter) if one[place] != other[place]), shorter)
    return None if at == len(one) == len(other) else at


def divergence(
    model: LanguageModel,
    prompt: Sequence[int],
    mine: Sequence[int],
    other: Sequence[int],
    banned: Sequence[int] = (),
) -> Divergence | None:
    """Return the first difference of two outputs [N] of a causal `model` after `prompt` [P]; None where they are equal.

    banned: tokens that neither may write.

    Raises:
        ValueError: the outputs differ in length, or `mine` contains a banned token.
    """
    if len(mine) != len(other):
        raise ValueError(f"outputs of {len(mine)} and {len(other)} tokens")
    at = parting(mine, other)
    if at is None:
        return None
    device = next(model.parameters()).device
    read, written = (torch.tensor(part, device=device) for part in ([list(prompt)], list(mine[: at + 1])))
    return Divergence(at, plain_pass(model, read, written, banned).margins[at])
