"""A block draft with a Markov head: a position's tokens also depend on the token drafted just before it.

A block draft predicts all positions in one pass, each without knowing what was drafted at the others, so the most
probable tokens of two positions may not belong together. The head adds to a position's logits a low-rank bias by the
token before it alone: one row of a table, times a second table. This is the plain ("vanilla") Markov head of DSpark
(DeepSeek-AI and Peking University 2026), as vLLM's speculators document it, without DSpark's confidence head.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.config import MarkovConfig
from pardec.models.architectures.draft import DraftModel


class MarkovDraft(DraftModel):
    """The draft and its head. Its passes are those of the draft: who draws the tokens applies the head."""

    config: MarkovConfig

    def __init__(self, config: MarkovConfig):
        super().__init__(config)
        self.before = nn.Parameter(torch.empty(config.vocab_size, config.rank))
        self.after = nn.Parameter(torch.empty(config.vocab_size, config.rank))

    def initialise(self, generator: torch.Generator) -> None:
        """Fill the matrices as those of the draft; the second table with zeros, so that the head begins without
        effect."""
        super().initialise(generator)
        with torch.no_grad():
            self.after.zero_()

    def bias(self, tokens: Tensor, strength: float = 1.0) -> Tensor:
        """Return what the head adds to the logits of the positions behind `tokens` [...] long: [..., V], times
        `strength`."""
        return F.linear(F.embedding(tokens, self.before) * strength, self.after)
