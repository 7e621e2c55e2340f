"""A drafter that selects, of the most probable tokens of each position, those that belong together: DFlash 2."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.decoding.speculative.base import Target
from pardec.decoding.speculative.drafters import DFlash
from pardec.decoding.speculative.markov import Markov, MarkovSettings

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.dflash2 import DFlash2Draft


class SelectorSettings(MarkovSettings):
    """Draft with the companion `draft`, a DFlash 2 model."""

    name: Literal["selector"] = "selector"  # type: ignore[assignment]
    """The name of the drafter."""
    strength: float = Field(1.0, ge=0, le=10)
    """Factor on what the selector adds to the logits; 0 takes each position's own most probable token (a control)."""
    top_k: int | None = Field(None, ge=1, le=1024)
    """Tokens per position among which it selects; null means the draft's own number."""


class Selector(Markov):
    """One parallel pass for all positions, then a walk from the anchor: of the `top_k` tokens of each position, the one
    that scores best behind the token selected before it (DFlash 2, z-lab and Inco AI 2026).

    Tokens outside of the `top_k` have no probability, in a tree and where tokens are drawn too.
    """

    Settings = SelectorSettings
    settings: SelectorSettings
    model: DFlash2Draft  # type: ignore[assignment]
    varies = False

    def begin(self, target: Target, companion: DFlash2Draft, batch: int, size: int) -> None:
        """
        Raises:
            UserError: the draft was made for another target, or has no selector.
        """
        if not hasattr(companion, "edges"):
            raise UserError(
                "companion draft",
                "has no selector",
                "give a DFlash 2 draft, or set drafter: {name: dflash}",
            )
        DFlash.begin(self, target, companion, batch, size)

    def read(self, hidden: Tensor) -> Tensor:
        logits = self.model.scaled(super().read(hidden))
        self.hidden = hidden
        size = min(self.settings.top_k or self.model.config.top_k, logits.shape[-1])
        self.values, self.among = logits.topk(size, -1)
        """Logits and ids of the candidates, [B, n, k] each."""
        return logits

    def follow(self, slot: int, tokens: Tensor) -> Tensor:
        among = self.among[:, slot]
        scores = self.values[:, slot, None]
        if self.settings.strength:
            scores = scores + self.settings.strength * self.model.edges(self.hidden[:, slot], tokens, among)
        shape = (*tokens.shape, self.parallel.shape[-1])
        every = scores.new_full(shape, -inf)
        return every.scatter_(-1, among[:, None].expand(*tokens.shape, -1), scores.expand(*tokens.shape, -1))
