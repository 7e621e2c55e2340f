"""Accept what the target would have drawn itself, of drafts that are drawn too.

A token is accepted with probability sum(p * q) instead of p(argmax q): less where the draft is sure, and the
baseline against which a residual shows what it is worth.
"""

from __future__ import annotations

from typing import Literal

from pardec.common.settings import Settings
from pardec.decoding.speculative.rules.match import Match


class SampledMatchSettings(Settings):
    """Accept what the target draws itself; drafts are drawn from the draft's law."""

    name: Literal["sampled_match"] = "sampled_match"
    """The name of the rule."""


class SampledMatch(Match):
    Settings = SampledMatchSettings
    draws = True
