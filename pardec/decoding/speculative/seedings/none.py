"""Every block begins with masks."""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Hints, Seeding


class NoSeedingSettings(Settings):
    """Forget what was rejected."""

    name: Literal["none"] = "none"
    """The name of the seeding."""


class NoSeeding(Seeding):
    Settings = NoSeedingSettings

    def hints(self, count: int) -> Hints | None:
        return None
