"""Prompt lookup: what followed the same few tokens the last time (Saxena 2023; also in transformers)."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Choose, Draft, Drafter, Hints, Target, View

torch = lazy("torch")


class NgramSettings(Settings):
    """Copy what followed the last occurrence of the row's last tokens, in prompt or output."""

    name: Literal["ngram"] = "ngram"
    """The name of the drafter."""
    longest: int = Field(3, ge=1, le=16)
    """Tokens that must agree, at most; the longest match wins."""
    shortest: int = Field(1, ge=1, le=16)
    """Tokens that must agree, at least."""

    @model_validator(mode="after")
    def _ordered(self) -> NgramSettings:
        if self.shortest > self.longest:
            raise ValueError(f"shortest ({self.shortest}) exceeds longest ({self.longest})")
        return self


class Ngram(Drafter):
    Settings = NgramSettings
    settings: NgramSettings
    marginals = False

    def begin(self, target: Target, companion: Any, batch: int, size: int) -> None:
        self.seen: list[dict[tuple[int, ...], int]] = [{} for _ in range(batch)]
        """Of each row: where the text behind a few tokens last began."""
        self.read = [0] * batch
        self.found = 0

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        told = [self._follow(row, tokens, count) for row, tokens in enumerate(view.rows)]
        self.found = sum(map(bool, told))
        size = max(map(len, told))
        # Rows that know less guess their last token again; the target decides.
        rows = [own + tokens[-1:] * (size - len(own)) for own, tokens in zip(told, view.rows, strict=True)]
        device = view.anchor.device
        return Draft(torch.tensor(rows, device=device, dtype=torch.long).view(len(rows), size))

    def facts(self) -> dict[str, Any]:
        return {"found": self.found}

    def _follow(self, row: int, tokens: list[int], count: int) -> list[int]:
        """What followed the longest known end of `tokens`; reads what is new first, the end itself not."""
        known, sizes = self.seen[row], range(self.settings.shortest, self.settings.longest + 1)
        for stop in range(self.read[row] + 1, len(tokens)):
            for size in sizes:
                if size <= stop:
                    known[tuple(tokens[stop - size : stop])] = stop
        self.read[row] = max(self.read[row], len(tokens) - 1)
        for size in reversed(sizes):
            place = known.get(tuple(tokens[-size:])) if size <= len(tokens) else None
            if place is not None:
                return tokens[place : place + count]
        return []
