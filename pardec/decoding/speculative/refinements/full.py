"""The whole block again: every position is drafted anew from the tokens of the pass before, context cache on."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Hints, Refinement

torch = lazy("torch")


class FullSettings(Settings):
    """Draft the whole block again from its own tokens."""

    name: Literal["full"] = "full"
    """The name of the refinement."""
    steps: int = Field(2, ge=1, le=8)
    """Passes of the draft a cycle, the first included; 1 is no refinement."""


class Full(Refinement):
    Settings = FullSettings
    settings: FullSettings

    def refine(self, draft: Draft, bench: Bench) -> Draft:
        for _ in range(self.settings.steps - 1):
            hints = Hints(draft.tokens, torch.ones_like(draft.tokens, dtype=torch.bool))
            draft = bench.drafter.redraft(bench.view, len(draft), bench.choose, hints)
        return draft
