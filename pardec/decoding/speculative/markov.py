"""A drafter whose tokens depend on the token drafted before: a block draft with a Markov head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.speculative.base import Choose, Draft, Hints, Noise, Target, View
from pardec.decoding.speculative.drafters import DFlash, DFlashSettings

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.markov import MarkovDraft

torch = lazy("torch")


class MarkovSettings(DFlashSettings):
    """Draft with the companion `draft`, a DFlash model that has a Markov head."""

    name: Literal["markov"] = "markov"  # type: ignore[assignment]
    """The name of the drafter."""
    strength: float = Field(1.0, ge=0, le=10)
    """Factor on what the head adds to the logits; 0 drafts as `dflash` does (a control)."""


class Markov(DFlash):
    """One parallel pass for all positions, then one cheap step per position, in order, through the Markov head (after
    DSpark, DeepSeek-AI and Peking University 2026).

    The draft pass gives logits that know nothing of the other positions of the block. The head adds a bias by the token
    before, so a chain is drawn token by token, and in a tree every node has probabilities of its own. The draft's
    layers and the target run as often as without the head.
    """

    Settings: ClassVar[Any] = MarkovSettings
    settings: MarkovSettings
    model: MarkovDraft
    conditional = True

    def begin(self, target: Target, companion: MarkovDraft, batch: int, size: int) -> None:
        """
        Raises:
            UserError: the draft was made for another target, or has no head.
        """
        if not hasattr(companion, "bias"):
            raise UserError(
                "companion draft",
                "has no Markov head",
                "give a draft of family markov_draft, or set drafter: {name: dflash}",
            )
        super().begin(target, companion, batch, size)

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        # Choosing nothing yet: the tokens of the parallel logits are not the draft's.
        parallel = super().propose(view, count, _unchosen, hints)
        return self._chain(view, parallel, choose)

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        return self._chain(view, super().redraft(view, count, _unchosen, hints), choose)

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        logits = super().vary(view, count, rate, noise)
        return logits + self.model.bias(self.previous[:, : logits.shape[1]], self.settings.strength)

    def follow(self, slot: int, tokens: Tensor) -> Tensor:
        return self.parallel[:, slot, None] + self.model.bias(tokens, self.settings.strength)

    def _chain(self, view: View, parallel: Draft, choose: Choose) -> Draft:
        """Return the draft drawn in order, each token given the one before it."""
        if parallel.logits is None:
            return parallel
        self.parallel = parallel.logits
        """Logits [B, n, V] of the last pass, before the head."""
        tokens, logits = [view.anchor], []
        for slot in range(self.parallel.shape[1]):
            logits.append(self.follow(slot, tokens[-1]))
            tokens.append(choose(logits[-1], slot))
        self.previous = torch.cat(tokens[:-1], 1)
        """The token [B, n] before each slot of the last draft."""
        return Draft(torch.cat(tokens[1:], 1), torch.cat(logits, 1))


def _unchosen(logits: Tensor, slot: int) -> Tensor:
    """Return no tokens [B, 0]."""
    return logits.new_zeros(len(logits), 0, dtype=torch.long)
