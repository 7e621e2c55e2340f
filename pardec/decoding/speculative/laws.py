"""Logits to laws and tokens, as plain decoding does it: temperature, then top-k, then top-p."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.decoding.autoregressive import draw as draw_plain
from pardec.decoding.noise import uniform

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class Sampling:
    """How this generation turns logits into tokens."""

    def __init__(self, settings: Any, seeds: Tensor, new_tokens: int, banned: tuple[int, ...]):
        """settings: temperature, top_k, top_p. seeds: [B] long, of the rows. banned: tokens never written."""
        self.settings, self.banned = settings, banned
        self.greedy = settings.temperature == 0
        self._noise = None if self.greedy else uniform(seeds, 0, (new_tokens,))

    def ban(self, logits: Tensor) -> Tensor:
        """Leaves out the tokens that are never written, in place."""
        for token in self.banned:
            logits[..., token] = -torch.inf
        return logits

    def pick(self, logits: Tensor, places: Tensor) -> Tensor:
        """The target's own tokens [B, n]: its most likely, or those that plain decoding draws at output
        positions `places` [B or 1, n]. logits: [B, n, V]."""
        if self.greedy:
            return logits.argmax(-1)
        places = places.clamp(max=self._noise.shape[1] - 1).expand(len(logits), -1)
        return self.draw(logits, self._noise.gather(1, places))

    def draw(self, logits: Tensor, noise: Tensor) -> Tensor:
        """Tokens [B, n] of logits [B, n, V], by uniform numbers [B, n]."""
        return draw_plain(logits.flatten(0, 1), self.settings, noise.flatten()).view(noise.shape)

    def law(self, logits: Tensor) -> Tensor:
        """The probabilities that `draw` draws from: [..., V] to float64 [..., V]."""
        settings = self.settings
        scaled = logits.double() / settings.temperature
        if settings.top_k is None and settings.top_p >= 1:
            return scaled.softmax(-1)
        scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
        chances = scaled[..., : settings.top_k].softmax(-1)
        if settings.top_p < 1:
            chances = chances.masked_fill(chances.cumsum(-1) - chances >= settings.top_p, 0)
            chances = chances / chances.sum(-1, keepdim=True)
        full = torch.zeros_like(scaled)
        return full.scatter_(-1, order[..., : settings.top_k], chances)


def invert(law: Tensor, noise: Tensor) -> Tensor:
    """The outcome in whose share of the law a number falls: law [..., V], noise [...] to [...] long."""
    reached = law.cumsum(-1)
    index = torch.searchsorted(reached, (noise * reached[..., -1])[..., None], right=True)[..., 0]
    return index.clamp_(max=law.shape[-1] - 1)
