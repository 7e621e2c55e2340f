"""Acceptance rules, which choose the drafted tokens to commit. Every rule is exact."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import ACCEPTING, BONUS, AcceptContext, Accepted, Rule
from pardec.decoding.speculative.sampling import invert
from pardec.decoding.speculative.tree import Tree, longest_path

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class MatchSettings(Settings):
    """Accept tokens that the target chooses too; drafts are the draft's most probable tokens."""

    name: Literal["match"] = "match"
    """The name of the rule."""


class Match(Rule):
    """Accept the token that the target would have written.

    At temperature 0 that is its most probable token. Above, it is the token that plain decoding draws at the same
    output position with the same random number, so the output equals that of plain decoding token for token. A drafted
    token is accepted with the target's probability of it.
    """

    Settings: ClassVar[Any] = MatchSettings

    def decide(self, tree: Tree, logits: Tensor, context: AcceptContext) -> Accepted:
        shape = tree.shape
        choice = context.pick(logits, context.position[:, None] + shape.depths)
        if shape.chain:
            same = tree.tokens == choice[:, :-1]
            if tree.exists is not None:
                same = same & tree.exists
            return Accepted(same.long().cumprod(1).sum(1), None, choice)
        above = shape.parents[:, 1:].expand_as(tree.tokens)
        counts, path, last = longest_path(tree, tree.tokens == choice.gather(1, above))
        tokens = torch.cat([tree.tokens.gather(1, path - 1), counts[:, None]], 1)
        tokens.scatter_(1, counts[:, None], choice.gather(1, last[:, None]))
        return Accepted(counts, path, tokens)


class SampledMatchSettings(Settings):
    """Accept tokens that the target draws too; drafts are drawn from the draft's distribution."""

    name: Literal["sampled_match"] = "sampled_match"
    """The name of the rule."""


class SampledMatch(Match):
    """Accept a drawn draft token where the target draws the same one.

    A token is accepted with probability sum(p * q) instead of p(argmax q): less where the draft is confident. This is
    the baseline that shows the value of a residual.
    """

    Settings = SampledMatchSettings
    draws = True


class ResidualSettings(Settings):
    """Accept with probability min(1, p/q) over the candidates of a position in turn; after the last, draw from the
    residual."""

    name: Literal["residual"] = "residual"
    """The name of the rule."""


class Residual(Rule):
    """True speculative sampling: accept with min(1, p/q), else draw from the positive part of p - q.

    Over several candidates at a node, in rounds (SpecInfer, arXiv:2305.09781, algorithm 2; recursive
    rejection of EAGLE, arXiv:2401.15077): candidate r was drawn from distribution q_r and is accepted with
    probability min(1, p_r/q_r); if it is rejected, p_{r+1} is the positive part of p_r - q_r, normalised. A
    candidate that was chosen and not drawn has a distribution of one point, so it is accepted with probability p_r,
    else removed. The output follows the target's distribution exactly, whatever the drafts are. One round processes
    all nodes at once; no step loops over the vocabulary in Python.
    """

    Settings = ResidualSettings
    draws = True
    residual = True

    def decide(self, tree: Tree, logits: Tensor, context: AcceptContext) -> Accepted:
        rows, size = tree.tokens.shape
        left = context.distribution(logits)
        chosen = torch.zeros(rows, size + 1, dtype=torch.long, device=logits.device)
        children = tree.shape.children().expand(rows, -1, -1)
        noise = context.noise(ACCEPTING, (size + 1,))
        for generation in range(tree.shape.widest):
            child = children[:, generation]
            considered = (child > 0) & (chosen == 0)
            yes, left = self._round(tree, left, child, considered, noise.gather(1, child))
            chosen = torch.where(yes, child, chosen)
        above = tree.shape.parents[:, 1:].expand(rows, -1)
        order = torch.arange(1, size + 1, device=chosen.device)
        counts, path, last = longest_path(tree, chosen.gather(1, above) == order)
        distribution = left.gather(1, last[:, None, None].expand(-1, 1, left.shape[-1]))
        extra = invert(distribution, context.noise(BONUS, (1,)))
        tokens = torch.cat([tree.tokens.gather(1, path - 1), extra], 1).scatter(1, counts[:, None], extra)
        return Accepted(counts, None if tree.shape.chain else path, tokens)

    def _round(
        self, tree: Tree, left: Tensor, child: Tensor, considered: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Test one candidate at every node; return whether it is accepted, [B, 1 + n], and the remaining distribution,
        [B, 1 + n, V]."""
        index = (child - 1).clamp(min=0)
        token = tree.tokens.gather(1, index) if tree.size else torch.zeros_like(child)
        if tree.exists is not None:
            considered = considered & tree.exists.gather(1, index)
        probability = left.gather(-1, token[..., None])[..., 0]
        if tree.distributions is None:
            yes = considered & (noise < probability)
            rest = left.scatter(-1, token[..., None], 0.0)
        else:
            distribution = tree.distributions.gather(1, index[..., None].expand(-1, -1, left.shape[-1]))
            yes = considered & (noise * distribution.gather(-1, token[..., None])[..., 0] < probability)
            rest = (left - distribution).clamp(min=0)
        total = rest.sum(-1, keepdim=True)
        # Where nothing remains, the candidate was accepted with probability 1.
        refused = (considered & ~yes)[..., None] & (total > 0)
        return yes, torch.where(refused, rest / total.clamp(min=1e-300), left)
