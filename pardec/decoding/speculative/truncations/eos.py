"""Cut behind the first drafted end token: what would follow an end is never written.

Where rows differ the longest cut holds. The device is waited for once more a cycle.
"""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.batching import is_end
from pardec.decoding.speculative.base import Draft, Truncation


class EosAwareSettings(Settings):
    """Cut at the first drafted end token."""

    name: Literal["eos"] = "eos"
    """The name of the truncation."""
    on: bool = True
    """False looks and cuts nothing."""


class EosAware(Truncation):
    Settings = EosAwareSettings
    settings: EosAwareSettings

    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        size = len(draft)
        if not ends or not size:
            return size
        kept = int((is_end(draft.tokens, ends).cumsum(1) == 0).sum(1).max()) + 1
        return min(kept, size) if self.settings.on else size
