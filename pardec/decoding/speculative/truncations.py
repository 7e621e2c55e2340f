"""Truncations, which cut a draft before it is verified."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.settings import Settings
from pardec.decoding.batching import is_end
from pardec.decoding.speculative.base import Draft, Truncation


class EosAwareSettings(Settings):
    """Cut at the first drafted end token."""

    name: Literal["eos"] = "eos"
    """The name of the truncation."""
    on: bool = True
    """false computes the cut and does not apply it."""


class EosAware(Truncation):
    """Cut behind the first drafted end token: tokens after it are never written.

    The longest cut of all rows applies. Waits for the device once more per cycle.
    """

    Settings = EosAwareSettings
    settings: EosAwareSettings

    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        size = len(draft)
        if not ends or not size:
            return size
        kept = int((is_end(draft.tokens, ends).cumsum(1) == 0).sum(1).max()) + 1
        return min(kept, size) if self.settings.on else size


class AdaptiveSettings(Settings):
    """Cut by confidence."""

    name: Literal["adaptive"] = "adaptive"
    """The name of the truncation."""
    threshold: float = Field(0.3, ge=0, le=1)
    """Least probability, by the draft, that all tokens so far are right; 0 cuts nothing."""
    least: int = Field(1, ge=1, le=63)
    """Number of drafted tokens always kept."""


class Adaptive(Truncation):
    """Cut at the first position where the draft's probability that all tokens so far are right falls below a
    threshold.

    It reads the probability of the most probable token, not of the drafted one, so a drawn token keeps its
    distribution. The longest cut of all rows applies. Waits for the device once more per cycle.
    """

    Settings = AdaptiveSettings
    settings: AdaptiveSettings

    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        size = len(draft)
        if not size:
            return size
        certainty = draft.probabilities.amax(-1).cumprod(1)
        kept = int((certainty >= self.settings.threshold).sum(1).max())
        return min(max(kept, self.settings.least), size)
