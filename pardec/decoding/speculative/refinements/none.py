"""No further pass."""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Refinement


class NoRefinementSettings(Settings):
    """One pass of the draft."""

    name: Literal["none"] = "none"
    """The name of the refinement."""


class NoRefinement(Refinement):
    Settings = NoRefinementSettings
    active = False

    def refine(self, draft: Draft, bench: Bench) -> Draft:
        return draft
