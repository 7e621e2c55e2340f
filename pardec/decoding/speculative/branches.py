"""Proposals that branch: token trees around one draft."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Draft, DraftContext, Hints, Proposal
from pardec.decoding.speculative.tree import Tree, chain_shape, shape_from, shape_of

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")

Children = Callable[[int, "Tensor | None"], tuple["Tensor", "Tensor"]]
"""Slot, and tokens [B, m] in the slot before it (None before the first), to the costs and ids of the children of each,
[B, m or 1, k]."""
SMALLEST = 1e-9
"""Least cost of a token in nats, so that a child scores strictly below its parent."""


class BestFirstSettings(Settings):
    """Best-first tree on the draft's probabilities."""

    name: Literal["tree"] = "tree"
    """The name of the proposal."""
    budget: int = Field(24, ge=1, le=512)
    """Nodes, the anchor not counted; choose it by the cost of a target pass over that many tokens."""
    top_k: int = Field(3, ge=1, le=32)
    """Tokens tried per slot; 1 is a chain."""


class BestFirst(Proposal):
    """The tree of the most probable paths under a node budget.

    A path's score is the product of its tokens' probabilities. One block pass gives marginals only, the same behind
    every path (OPT-Tree, arXiv:2406.17276); a drafter that knows the token before gives each node's children their own.
    A child never scores above its parent, so the best `budget` nodes of all depths form a tree. It is built depth by
    depth on the device, without waiting for it.
    """

    Settings = BestFirstSettings
    settings: BestFirstSettings

    def nodes(self, count: int) -> int:
        return max(count, self.settings.budget)

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        count, children = len(draft), self._children(draft, context)
        scores, tokens, parents = self._levels(count, children)
        kept = scores.topk(min(self.settings.budget, scores.shape[1]), 1).indices.sort(1).values
        # The index of each kept node in the tree; 0 is the anchor.
        index = torch.zeros(len(kept), scores.shape[1] + 1, dtype=torch.long, device=kept.device)
        order = torch.arange(1, kept.shape[1] + 1, device=kept.device)
        index.scatter_(1, kept + 1, order.expand_as(kept))
        above = index.gather(1, parents.gather(1, kept))
        above = torch.cat([torch.zeros_like(above[:, :1]), above], 1)
        return Tree(shape_from(above, count, self.settings.top_k), tokens.gather(1, kept))

    def _children(self, draft: Draft, context: DraftContext) -> Children:
        drafter = context.drafter
        if drafter is not None and drafter.conditional:
            return lambda slot, tokens: self._choices(
                drafter.follow(slot, context.view.anchor if tokens is None else tokens).softmax(-1)
            )
        costs, ids = self._choices(draft.probabilities)
        return lambda slot, tokens: (costs[:, slot, None], ids[:, slot, None])

    def _choices(self, probabilities: Tensor) -> tuple[Tensor, Tensor]:
        """Return the costs, as log probabilities, and the ids of the most probable tokens, [..., k] of [..., V]."""
        best, ids = probabilities.topk(min(self.settings.top_k, probabilities.shape[-1]), -1)
        return best.double().log().clamp(-1e4, -SMALLEST), ids

    def _levels(self, count: int, children: Children) -> tuple[Tensor, Tensor, Tensor]:
        """Return scores, tokens and parents [B, M] of all candidate nodes, parents counted from 1 in this order (0 is
        the anchor)."""
        first, tokens, scores = 0, None, None
        levels: list[tuple[Tensor, Tensor, Tensor]] = []
        for slot in range(count):
            costs, ids = children(slot, tokens)
            top = ids.shape[-1]
            if scores is not None:
                costs, ids = scores[..., None] + costs, ids.expand(-1, scores.shape[1], -1)
            scores, index = costs.flatten(1).topk(min(self.settings.budget, costs[0].numel()), 1)
            parents = index // top + first
            first = 1 if not levels else first + levels[-1][0].shape[1]
            tokens = ids.flatten(1).gather(1, index)
            levels.append((scores, tokens, parents))
        every = [torch.cat(part, 1) for part in zip(*levels, strict=True)]
        return every[0], every[1], every[2]


class TreeLiteSettings(Settings):
    """The draft, with branches at its first positions."""

    name: Literal["tree_lite"] = "tree_lite"
    """The name of the proposal."""
    top_k: int = Field(2, ge=1, le=8)
    """Tokens per branching position, the draft's included; 1 is a chain."""
    depth: int = Field(5, ge=0, le=32)
    """Positions that branch, from the first."""
    tail: int = Field(1, ge=0, le=32)
    """Tokens of the draft that follow each branch."""
    refine: bool = False
    """Draft the tail of the most probable branch again, with that branch in the block."""


class TreeLite(Proposal):
    """The draft, and beside it the next most probable tokens at its first positions.

    A branch is followed by the draft's tail, which was not drafted for it: one pass gives marginals only. With
    `refine` the tail of the most probable branch is drafted again with that branch in the block, at the cost of one
    draft pass.
    """

    Settings = TreeLiteSettings
    settings: TreeLiteSettings

    def nodes(self, count: int) -> int:
        settings = self.settings
        return count + settings.depth * (settings.top_k - 1) * (1 + settings.tail) + count * settings.refine

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        settings, count, device = self.settings, len(draft), str(draft.tokens.device)
        parents, slots, heads, branches = _branching(
            count, settings.depth, settings.top_k, settings.tail, device
        )
        if not len(heads):
            return Tree(shape_of(parents, device), draft.tokens)
        top = draft.probabilities.topk(min(settings.top_k, draft.probabilities.shape[-1]), -1)
        # Every node begins with the draft's token of its slot; then the branches' heads are replaced.
        tokens = draft.tokens[:, slots]
        tokens[:, heads] = top.indices[:, branches[:, 0], branches[:, 1].clamp(max=top.indices.shape[-1] - 1)]
        if not settings.refine:
            return Tree(shape_of(parents, device), tokens)
        return self._refined(draft, context, tokens, parents, heads, branches, top.values)

    def _refined(
        self,
        draft: Draft,
        context: DraftContext,
        tokens: Tensor,
        parents: Any,
        heads: Tensor,
        branches: Tensor,
        probabilities: Tensor,
    ) -> Tree:
        """Return the tree with one more branch behind the most probable alternative, drafted with that one in the
        block."""
        device, count = tokens.device, len(draft)
        prefix = probabilities[..., 0].log().cumsum(1) - probabilities[..., 0].log()
        scores = prefix[:, branches[:, 0]] + probabilities[:, branches[:, 0], branches[:, 1]].log()
        best = scores.argmax(1, keepdim=True)
        slot, node = branches[:, 0][best], heads[best]
        order = torch.arange(count, device=device)
        block = draft.tokens.scatter(1, slot, tokens.gather(1, node))
        again = context.drafter.redraft(
            context.view, context.count, context.choose, Hints(block, order <= slot)
        )
        # The new tail: slot + 1, slot + 2, ...; what would stand behind the block does not exist.
        where = slot + 1 + torch.arange(count - 1, device=device)
        tail = again.tokens.gather(1, where.clamp(max=count - 1))
        above = shape_of(parents, str(device)).parents.expand(len(tokens), -1)
        size = len(parents)
        chain = size + 1 + torch.arange(max(count - 2, 0), device=device).expand(len(tokens), -1)
        above = torch.cat([above, node + 1, chain], 1)[:, : size + count]
        exists = torch.cat([torch.ones_like(tokens, dtype=torch.bool), where < count], 1)
        shape = shape_from(above, count, self.settings.top_k + 1)
        return Tree(shape, torch.cat([tokens, tail], 1), exists=exists)


@lru_cache(maxsize=64)
def _branching(
    count: int, depth: int, top_k: int, tail: int, device: str
) -> tuple[tuple[int, ...], Tensor, Tensor, Tensor]:
    """Return parents, the slot of each node [n], the nodes that begin a branch [m], and their slots and ranks [m, 2].

    Kept for each size, so that nothing is copied to the device while a draft runs on it.
    """
    parents, slots = list(range(count)), list(range(count))
    heads: list[int] = []
    branches: list[tuple[int, int]] = []
    for slot in range(min(depth, count)):
        follow = min(tail, count - slot - 1)
        for rank in range(1, top_k):
            heads.append(len(parents))
            branches.append((slot, rank))
            parents += [slot, *range(len(parents) + 1, len(parents) + 1 + follow)]
            slots += range(slot, slot + 1 + follow)
    numbers = (torch.tensor(values, dtype=torch.long, device=device) for values in (slots, heads))
    pairs = torch.tensor(branches, dtype=torch.long, device=device).view(-1, 2)
    return (tuple(parents), *numbers, pairs)


class ConfidenceSettings(Settings):
    """The draft, with its second choice at the positions of the smallest margins."""

    name: Literal["confidence"] = "confidence"
    """The name of the proposal."""
    branches: int = Field(3, ge=0, le=32)
    """Positions that branch; 0 leaves the chain."""
    tail: int = Field(2, ge=0, le=32)
    """Tokens of the draft that follow each branch."""


class Confidence(Proposal):
    """Branches at the positions where the draft is least sure, wherever they are in the block."""

    Settings = ConfidenceSettings
    settings: ConfidenceSettings

    def nodes(self, count: int) -> int:
        return count + self.settings.branches * (1 + self.settings.tail)

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        settings, count, device = self.settings, len(draft), draft.tokens.device
        branches = min(settings.branches, count)
        if not branches:
            return Tree(chain_shape(count, str(device)), draft.tokens)
        values, ids = draft.probabilities.topk(2, -1)
        slots = (values[..., 0] - values[..., 1]).topk(branches, 1, largest=False).indices
        heads = ids[..., 1].gather(1, slots)
        # Branch by branch: the second choice behind the slot's own parent, then the draft's tail, what there is.
        steps = torch.arange(1, settings.tail + 1, device=device)
        where = slots[..., None] + steps
        tails = draft.tokens[:, None].expand(-1, branches, -1).gather(2, where.clamp(max=count - 1))
        tokens = torch.cat([heads[..., None], tails], 2).flatten(1)
        exists = torch.cat([torch.ones_like(slots, dtype=torch.bool)[..., None], where < count], 2).flatten(1)
        first = count + 1 + torch.arange(branches, device=device)[:, None] * (1 + settings.tail)
        chains = (first + steps - 1).expand(len(slots), -1, -1)
        above = torch.cat([slots[..., None], chains], 2).flatten(1)
        main = torch.arange(count, device=device).expand(len(slots), -1)
        parents = torch.cat([torch.zeros_like(main[:, :1]), main, above], 1)
        exists = torch.cat([torch.ones_like(main, dtype=torch.bool), exists], 1)
        shape = shape_from(parents, count, 2)
        return Tree(shape, torch.cat([draft.tokens, tokens], 1), exists=exists)


class RankSuffixSettings(Settings):
    """Several continuations of one prefix."""

    name: Literal["rank_suffix"] = "rank_suffix"
    """The name of the proposal."""
    prefix: int = Field(3, ge=0, le=63)
    """Drafted tokens that all continuations share."""
    ranks: int = Field(2, ge=1, le=16)
    """Continuations: the r-th takes the r-th most probable token at its first position, then the draft's own;
    1 leaves the chain."""
    follow: Literal["draft", "rank"] = "draft"
    """What follows that token: the draft's own tail, or again the r-th most probable everywhere."""


class RankSuffix(Proposal):
    """A fixed prefix and continuations by rank: the draft's first tokens, then its first, second, ... choice."""

    Settings = RankSuffixSettings
    settings: RankSuffixSettings

    def nodes(self, count: int) -> int:
        return count * self.settings.ranks

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        settings, count, device = self.settings, len(draft), str(draft.tokens.device)
        parents, tokens = list(range(count)), [draft.tokens]
        size = count - settings.prefix
        if size > 0 and settings.ranks > 1:
            top = (
                draft.probabilities[:, settings.prefix :]
                .topk(min(settings.ranks, draft.probabilities.shape[-1]), -1)
                .indices
            )
            for rank in range(1, top.shape[-1]):
                first = len(parents) + 1
                parents += [settings.prefix, *range(first, first + size - 1)]
                if settings.follow == "rank":
                    tokens.append(top[..., rank])
                else:
                    tokens += [top[:, :1, rank], draft.tokens[:, settings.prefix + 1 :]]
        return Tree(shape_of(tuple(parents), device), torch.cat(tokens, 1))
