"""Accept what the target would have written itself.

At temperature 0 that is its most likely token. Above, it is the token it draws, by the very numbers plain decoding
draws by: so the output is not only distributed like plain decoding's, it is the same, token by token. A drafted token
is accepted with the target's own probability of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Judge, Rule, Verdict
from pardec.decoding.speculative.tree import Tree, longest_path

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class MatchSettings(Settings):
    """Accept what the target chooses itself; drafts are the draft's most likely tokens."""

    name: Literal["match"] = "match"
    """The name of the rule."""


class Match(Rule):
    Settings = MatchSettings

    def decide(self, tree: Tree, logits: Tensor, judge: Judge) -> Verdict:
        shape = tree.shape
        choice = judge.pick(logits, judge.place[:, None] + shape.depths)
        if shape.chain:
            same = tree.tokens == choice[:, :-1]
            if tree.real is not None:
                same = same & tree.real
            return Verdict(same.long().cumprod(1).sum(1), None, choice)
        above = shape.parents[:, 1:].expand_as(tree.tokens)
        counts, path, last = longest_path(tree, tree.tokens == choice.gather(1, above))
        tokens = torch.cat([tree.tokens.gather(1, path - 1), counts[:, None]], 1)
        tokens.scatter_(1, counts[:, None], choice.gather(1, last[:, None]))
        return Verdict(counts, path, tokens)
