"""Refinements: further passes of the draft over its block, before the target verifies it."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Draft, DraftContext, Hints, Refinement

torch = lazy("torch")


class FullSettings(Settings):
    """Draft the whole block again from its own tokens."""

    name: Literal["full"] = "full"
    """The name of the refinement."""
    steps: int = Field(2, ge=1, le=8)
    """Passes of the draft per cycle, the first included; 1 is no refinement."""


class Full(Refinement):
    """The whole block again: every position is drafted again from the tokens of the previous pass, with the context
    cache."""

    Settings = FullSettings
    settings: FullSettings

    def refine(self, draft: Draft, context: DraftContext) -> Draft:
        for _ in range(self.settings.steps - 1):
            hints = Hints(draft.tokens, torch.ones_like(draft.tokens, dtype=torch.bool))
            draft = context.drafter.redraft(context.view, len(draft), context.choose, hints)
        return draft


class SelectiveSettings(Settings):
    """Draft positions of low confidence again."""

    name: Literal["selective"] = "selective"
    """The name of the refinement."""
    steps: int = Field(2, ge=1, le=8)
    """Passes of the draft per cycle, the first included."""
    threshold: float = Field(0.7, ge=0, le=1)
    """Positions whose most probable token has at least this probability are kept; at 0 all are, and nothing
    changes."""


class Selective(Refinement):
    """Uncertain positions only: confident ones are kept as input, the others are masked and drafted again."""

    Settings = SelectiveSettings
    settings: SelectiveSettings

    def __init__(self, settings: SelectiveSettings):
        super().__init__(settings)
        self.again: Any = 0

    def refine(self, draft: Draft, context: DraftContext) -> Draft:
        self.again = 0
        for _ in range(self.settings.steps - 1):
            sure = draft.probabilities.amax(-1) >= self.settings.threshold
            new = context.drafter.redraft(context.view, len(draft), context.choose, Hints(draft.tokens, sure))
            self.again = self.again + (~sure).sum()
            logits = torch.where(sure[..., None], draft.logits, new.logits)
            draft = Draft(torch.where(sure, draft.tokens, new.tokens), logits)
        return draft

    def facts(self) -> dict[str, Any]:
        return {"refined": self.again}
