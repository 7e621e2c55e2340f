"""The whole draft is verified."""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Draft, Truncation


class NoTruncationSettings(Settings):
    """Cut nothing."""

    name: Literal["none"] = "none"
    """The name of the truncation."""


class NoTruncation(Truncation):
    Settings = NoTruncationSettings

    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        return len(draft)
