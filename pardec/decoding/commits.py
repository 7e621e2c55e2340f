"""Commit rules of diffusion decoders: how predictions of masked positions are ranked, and which are committed at once.

A rank is a key per position, smallest first. Each is computed from the probability *outside* the chosen token, in
float32: the softmax saturates at 1.0, where ties would go to an arbitrary position.

- `low_confidence`: surprisal of the chosen token (LLaDA, arXiv:2502.09992).
- `margin`: 1 - (p1 - p2), the two most probable tokens (Kim et al. 2025, arXiv:2502.06768).
- `entropy`: entropy of the prediction in nats (Dream, arXiv:2508.15487).

A pass commits its share of the smallest ranks, and beyond it what one bound allows: `threshold` and `factor` are
Fast-dLLM's (arXiv:2505.22618), `entropy_bound` is EB-Sampler's (Ben-Hamu et al. 2025, arXiv:2505.24857). `gap` decides
whether all the rest is committed at once: Prophet (Li et al. 2025, arXiv:2508.19982).
"""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class CommitSettings(Settings):
    """What a pass commits beyond its share, and in which order."""

    remasking: Literal["low_confidence", "margin", "entropy", "random"] = "low_confidence"
    """The predictions that a pass commits first: those of the most probable token, of the largest margin between the
    two most probable tokens, of the least entropy, or random ones."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Commit every token with a probability (or a margin, with `remasking: margin`) above this, and at least the
    share; null commits the share alone."""
    factor: float | None = Field(None, gt=0, le=100)
    """Commit the n most confident tokens for the largest n at which (n + 1) (1 - probability of the n-th) is
    below this, and at least the share. Needs `remasking: low_confidence`."""
    entropy_bound: float | None = Field(None, ge=0, le=1000)
    """Commit the tokens of least entropy while the entropies of those before sum to at most this, in nats, and at
    least the share. Needs `remasking: entropy`."""

    @property
    def bound(self) -> str | None:
        """The rule that commits tokens beyond the share, if any."""
        return next((name for name in BOUNDS if getattr(self, name) is not None), None)


def commit_trouble(settings: CommitSettings) -> str | None:
    """Return the reason why commit rules do not go together, or None."""
    chosen = [name for name in BOUNDS if getattr(settings, name) is not None]
    if len(chosen) > 1:
        return f"{chosen[0]} and {chosen[1]} are two rules for the same choice; set one"
    for name in chosen:
        allowed = BOUNDS[name][0]
        if settings.remasking not in allowed:
            why = ": a random rank is no confidence" if settings.remasking == "random" else ""
            return f"{name} needs remasking {' or '.join(allowed)}{why}"
    return None


def rank(settings: CommitSettings, logits: Tensor, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the rank of each position [...], smallest first, and its token.

    logits: [..., V] float32. choice: the tokens [...] long, or None for the most probable ones.
    """
    return RANKS[settings.remasking](logits, choice)


def surest(settings: CommitSettings, ranked: Tensor) -> Tensor:
    """Return the positions [B, L] bool that the bound in `settings` commits.

    ranked: [B, L], infinite where nothing can be committed.
    """
    name = settings.bound
    if name is None:
        return torch.zeros_like(ranked, dtype=torch.bool)
    return BOUNDS[name][1](ranked, getattr(settings, name), settings.remasking)


def leftmost_smallest(rank: Tensor, count: int) -> Tensor:
    """Return the indices [B, count] of the smallest entries of each row of `rank` [B, L]; ties go to the
    leftmost."""
    if count == 1:
        return rank.argmin(1, keepdim=True)
    return rank.sort(dim=1, stable=True).indices[:, :count]


def gap(logits: Tensor, masked: Tensor) -> Tensor:
    """Return the mean difference of the two largest logits [B] over the `masked` positions [B, L] of `logits`
    [B, L, V]; NaN where none is masked.

    Prophet's confidence gap. Theirs is over the region of the answer, which a benchmark knows; this one is over all
    that is left. In float64, so that other rows of the batch do not decide by a rounding.
    """
    top = logits.topk(2).values.double()
    return (top[..., 0] - top[..., 1]).masked_fill(~masked, 0).sum(1) / masked.sum(1)


def surprisal(logits: Tensor, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return -log probability of the chosen tokens in nats, without saturation, and the chosen tokens.

    With m the top logit and t = sum over the *other* tokens of exp(l - m), surprisal is log1p(t) + (m - l[choice]); t
    keeps its digits when 1 + t rounds to 1.
    """
    top, best = logits.max(-1, keepdim=True)
    tail = (logits - top).exp_().scatter_(-1, best, 0).sum(-1).log1p_()
    if choice is None:
        return tail, best[..., 0]
    choice = choice[..., None]
    return tail + (top - logits.gather(-1, choice))[..., 0], choice[..., 0]


def margin(logits: Tensor, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return 1 - (p1 - p2) of the two most probable tokens, and the chosen tokens."""
    top, best = logits.max(-1, keepdim=True)
    others = (logits - top).exp_().scatter_(-1, best, 0)
    tail = others.sum(-1)
    return (tail + others.amax(-1)) / (1 + tail), best[..., 0] if choice is None else choice


def entropy(logits: Tensor, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the entropy of each prediction in nats, and the chosen tokens.

    With d = m - l and t as in `surprisal`, it is log1p(t) + sum over the others of exp(-d) d / (1 + t).
    """
    top, best = logits.max(-1, keepdim=True)
    away = top - logits
    weights = (-away).exp_().scatter_(-1, best, 0)
    tail = weights.sum(-1)
    # A banned token is infinitely far and has no weight.
    spread = weights.mul_(away.masked_fill_(away == inf, 0)).sum(-1)
    return tail.log1p() + spread / (1 + tail), best[..., 0] if choice is None else choice


def above(ranked: Tensor, threshold: float, remasking: str) -> Tensor:
    """Return where the probability (or the margin) is above `threshold`."""
    if remasking == "margin":
        return ranked < 1 - threshold
    return ranked < (-log(threshold) if threshold else inf)


def by_factor(ranked: Tensor, factor: float, remasking: str = "low_confidence") -> Tensor:
    """Return the first n by rank for the largest n with (n + 1) (1 - p) < factor, p the probability of the n-th.

    Both factors grow with n, so each position can be tested separately.
    """
    ordered, order = ranked.sort(dim=1, stable=True)
    places = torch.arange(2, ranked.shape[1] + 2, device=ranked.device)
    sure = places * -torch.expm1(-ordered) < factor
    return torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, order, sure)


def by_entropy(ranked: Tensor, bound: float, remasking: str = "entropy") -> Tensor:
    """Return the positions of least entropy whose sum, without the largest of them, is at most `bound`."""
    ordered, order = ranked.sort(dim=1, stable=True)
    before = torch.nn.functional.pad(ordered.cumsum(1)[:, :-1], (1, 0))
    sure = (before <= bound) & (ordered < inf)
    return torch.zeros_like(ranked, dtype=torch.bool).scatter_(1, order, sure)


RANKS: dict[str, Callable[[Tensor, Tensor | None], tuple[Tensor, Tensor]]] = {
    "low_confidence": surprisal,
    "margin": margin,
    "entropy": entropy,
}
"""Ranks by name; `random` is drawn by the decoder."""
BOUNDS: dict[str, tuple[tuple[str, ...], Callable[[Tensor, float, str], Tensor]]] = {
    "threshold": (("low_confidence", "margin"), above),
    "factor": (("low_confidence",), by_factor),
    "entropy_bound": (("entropy",), by_entropy),
}
"""Rules that commit beyond the share, by the setting that holds their bound: the ranks they read, and the rule."""
