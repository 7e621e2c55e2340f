"""A small autoregressive model of the same vocabulary, one token a pass (Leviathan et al. 2023, arXiv:2211.17192)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Choose, Draft, Drafter, Hints, Target, View
from pardec.decoding.speculative.layouts import tree_of_many
from pardec.decoding.speculative.tree import chain_shape

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class SmallSettings(Settings):
    """Draft with the companion `draft`, a causal model that reads the same tokens."""

    name: Literal["small"] = "small"
    """The name of the drafter."""


class Small(Drafter):
    Settings = SmallSettings
    companion = "draft"

    def begin(self, target: Target, companion: LanguageModel, batch: int, size: int) -> None:
        """
        Raises:
            UserError: no causal model of the target's vocabulary.
        """
        info = companion.info
        if info.attention != "causal" or info.vocab_size != target.info.vocab_size:
            raise UserError(
                "companion draft",
                f"is {info.attention} with {info.vocab_size} tokens, the target has {target.info.vocab_size}",
                "give a causal model of the same data",
            )
        self.model, self.target = companion, target
        self.cache = companion.new_cache(batch, size)
        self.held = [0] * batch
        """Columns of each row that the cache holds."""
        self.starts = [0] * batch
        """Columns before the anchor of the last draft."""

    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        # What was drafted and not committed is forgotten.
        self.held = [
            min(held, start + 1 + agreed)
            for held, start, agreed in zip(self.held, self.starts, view.agreed, strict=True)
        ]
        tokens, found, laws = self._unread(view), [], []
        for slot in range(count):
            logits = self._step(view, tokens, slot)
            laws.append(logits)
            tokens = choose(logits, slot)
            found.append(tokens)
        self.starts = list(view.lengths)
        self.held = [length + count for length in view.lengths]
        return Draft(torch.cat(found, 1), torch.cat(laws, 1))

    def _unread(self, view: View) -> Tensor:
        """[B, w] long, the last tokens of each row up to its anchor, as many as the row that misses most."""
        width = max(length + 1 - held for length, held in zip(view.lengths, self.held, strict=True))
        if width == 1:
            return view.anchor
        # At first that is all, behind its padding; later a row that is shorter than what another one misses is
        # filled at its left, where it reads nothing.
        fill = self.target.info.pad_id
        rows = [[fill] * (width - len(row)) + row[-width:] for row in view.rows]
        return torch.tensor(rows, device=view.anchor.device)

    def _step(self, view: View, tokens: Tensor, slot: int) -> Tensor:
        """Logits [B, 1, V] of what follows `tokens`, whose last stands `slot` columns behind the anchor."""
        width, last = tokens.shape[1], slice(-1, None)
        first = not any(self.held)
        if view.single or (first and slot == 0):
            self.cache.length = view.lengths[0] + slot + 1 - width
            logits = self.model(tokens, pad=view.pad, cache=self.cache, keep=last)
        else:
            starts = view.starts(width - 1 - slot)
            longest = max(view.lengths) + slot + 1 - width
            limit = self.model.info.max_positions
            shape = chain_shape(width - 1, str(tokens.device))
            layout = tree_of_many(shape, starts, longest, view.pad, limit)
            self.cache.length = longest
            logits = self.model(tokens, cache=self.cache, layout=layout, keep=last)
        return self.target.ban(logits)
