"""True speculative sampling: accept with min(1, p/q), else draw from what remains of p.

Over several candidates at a node, in rounds (SpecInfer, arXiv:2305.09781, algorithm 2; recursive rejection of
EAGLE, arXiv:2401.15077): candidate r was drawn from law q_r and is accepted with probability min(1, p_r/q_r); where it
is refused, p_{r+1} is the positive part of p_r - q_r, normalised. A candidate that was not drawn but chosen has a law
of one point, so it is accepted with p_r and then taken out. The output follows the target's law exactly, whatever
drafts are. All nodes go through a round at once; no step runs over the vocabulary in Python.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import ACCEPTING, BONUS, Judge, Rule, Verdict
from pardec.decoding.speculative.laws import invert
from pardec.decoding.speculative.tree import Tree, longest_path

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class ResidualSettings(Settings):
    """Accept with min(1, p/q) over all candidates of a position in turn; what remains is drawn from the residual."""

    name: Literal["residual"] = "residual"
    """The name of the rule."""


class Residual(Rule):
    Settings = ResidualSettings
    draws = True
    residual = True

    def decide(self, tree: Tree, logits: Tensor, judge: Judge) -> Verdict:
        rows, size = tree.tokens.shape
        left = judge.law(logits)
        chosen = torch.zeros(rows, size + 1, dtype=torch.long, device=logits.device)
        children = tree.shape.children().expand(rows, -1, -1)
        noise = judge.noise(ACCEPTING, (size + 1,))
        for generation in range(tree.shape.widest):
            child = children[:, generation]
            there = (child > 0) & (chosen == 0)
            yes, left = self._round(tree, left, child, there, noise.gather(1, child))
            chosen = torch.where(yes, child, chosen)
        above = tree.shape.parents[:, 1:].expand(rows, -1)
        order = torch.arange(1, size + 1, device=chosen.device)
        counts, path, last = longest_path(tree, chosen.gather(1, above) == order)
        law = left.gather(1, last[:, None, None].expand(-1, 1, left.shape[-1]))
        own = invert(law, judge.noise(BONUS, (1,)))
        tokens = torch.cat([tree.tokens.gather(1, path - 1), own], 1).scatter(1, counts[:, None], own)
        return Verdict(counts, None if tree.shape.chain else path, tokens)

    def _round(
        self, tree: Tree, left: Tensor, child: Tensor, there: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One candidate at every node: where it is accepted [B, 1 + n], and what remains [B, 1 + n, V]."""
        place = (child - 1).clamp(min=0)
        token = tree.tokens.gather(1, place) if tree.size else torch.zeros_like(child)
        if tree.real is not None:
            there = there & tree.real.gather(1, place)
        chance = left.gather(-1, token[..., None])[..., 0]
        if tree.laws is None:
            yes = there & (noise < chance)
            rest = left.scatter(-1, token[..., None], 0.0)
        else:
            law = tree.laws.gather(1, place[..., None].expand(-1, -1, left.shape[-1]))
            yes = there & (noise * law.gather(-1, token[..., None])[..., 0] < chance)
            rest = (left - law).clamp(min=0)
        total = rest.sum(-1, keepdim=True)
        # Where nothing remains the candidate could not have been refused.
        refused = (there & ~yes)[..., None] & (total > 0)
        return yes, torch.where(refused, rest / total.clamp(min=1e-300), left)
