"""Logits to distributions and tokens as in plain decoding: temperature, then top-k, then top-p."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.autoregressive import draw as draw_plain
from pardec.decoding.batching import ban
from pardec.decoding.noise import uniform

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class Sampling:
    """Turns logits into tokens for one generation."""

    def __init__(self, settings: Any, seeds: Tensor, new_tokens: int, banned: tuple[int, ...]):
        """settings: temperature, top_k, top_p. seeds: [B] long, of the rows. banned: tokens never written."""
        self.settings, self.banned = settings, banned
        self.greedy = settings.temperature == 0
        self._noise = None if self.greedy else uniform(seeds, 0, (new_tokens,))

    def ban(self, logits: Tensor) -> Tensor:
        """Set the logits [..., V] of banned tokens to -inf, in place; return them."""
        return ban(logits, self.banned)

    def pick(self, logits: Tensor, positions: Tensor) -> Tensor:
        """Return the target's tokens [B, n]: its most probable ones, or those that plain decoding draws at output
        `positions` [B or 1, n]. logits: [B, n, V]."""
        if self._noise is None:
            return logits.argmax(-1)
        positions = positions.clamp(max=self._noise.shape[1] - 1).expand(len(logits), -1)
        return self.draw(logits, self._noise.gather(1, positions))

    def draw(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Draw tokens [B, n] from logits [B, n, V] by uniform numbers [B, n]."""
        return draw_plain(logits.flatten(0, 1), self.settings, noise.flatten()).view(noise.shape)

    def distribution(self, logits: Tensor) -> Tensor:
        """Return the probabilities that `draw` draws from: logits [..., V] to float64 [..., V]."""
        settings = self.settings
        scaled = logits.double() / settings.temperature
        if settings.top_k is None and settings.top_p >= 1:
            return scaled.softmax(-1)
        scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
        probabilities = scaled[..., : settings.top_k].softmax(-1)
        if settings.top_p < 1:
            probabilities = probabilities.masked_fill(
                probabilities.cumsum(-1) - probabilities >= settings.top_p, 0
            )
            probabilities = probabilities / probabilities.sum(-1, keepdim=True)
        full = torch.zeros_like(scaled)
        return full.scatter_(-1, order[..., : settings.top_k], probabilities)


def invert(distribution: Tensor, noise: Tensor) -> Tensor:
    """Return the outcomes [...] long whose intervals of the cumulative `distribution` [..., V] contain `noise` [...],
    as fractions of its sum."""
    reached = distribution.cumsum(-1)
    index = torch.searchsorted(reached, (noise * reached[..., -1])[..., None], right=True)[..., 0]
    return index.clamp_(max=distribution.shape[-1] - 1)
