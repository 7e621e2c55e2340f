"""Cut where the draft stops believing in itself: at the first position where the chance that all tokens up to it are
right, by its own probabilities, falls below a threshold.

The probability of the likeliest token is read, not that of the token drafted, so that a drawn token keeps its law.
Where rows differ the longest cut holds. The device is waited for once more a cycle.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Draft, Truncation


class AdaptiveSettings(Settings):
    """Cut by confidence."""

    name: Literal["adaptive"] = "adaptive"
    """The name of the truncation."""
    threshold: float = Field(0.3, ge=0, le=1)
    """Least chance, by the draft itself, that all tokens so far are right; 0 cuts nothing."""
    least: int = Field(1, ge=1, le=63)
    """Drafted tokens that are always kept."""


class Adaptive(Truncation):
    Settings = AdaptiveSettings
    settings: AdaptiveSettings

    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        size = len(draft)
        if not size:
            return size
        belief = draft.chances.amax(-1).cumprod(1)
        kept = int((belief >= self.settings.threshold).sum(1).max())
        return min(max(kept, self.settings.least), size)
