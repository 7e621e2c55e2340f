"""One block size, always."""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Schedule


class FixedSettings(Settings):
    """Every cycle drafts a block of the decoder's `block`."""

    name: Literal["fixed"] = "fixed"
    """The name of the schedule."""


class Fixed(Schedule):
    Settings = FixedSettings

    def __init__(self, settings: FixedSettings, block: int):
        super().__init__(settings)
        self.size = block

    def block(self) -> int:
        return self.size
