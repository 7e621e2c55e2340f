"""Proposals of whole blocks: the draft itself, several blocks, or several candidates per position."""

from __future__ import annotations

from itertools import product
from math import exp
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import ROUNDS, Draft, DraftContext, Proposal
from pardec.decoding.speculative.sampling import invert
from pardec.decoding.speculative.tree import Shape, Tree, chain_shape, shape_of

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class ChainSettings(Settings):
    """Verify the drafted block itself."""

    name: Literal["chain"] = "chain"
    """The name of the proposal."""


class Chain(Proposal):
    """The draft as it is: one path."""

    Settings = ChainSettings

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        return Tree(chain_shape(len(draft), str(draft.tokens.device)), draft.tokens, draft.distributions)


class CandidatesSettings(Settings):
    """A bounded set of blocks."""

    name: Literal["candidates"] = "candidates"
    """The name of the proposal."""
    branch_depth: int = Field(3, ge=0, le=8)
    """Positions that may vary, from the first."""
    margin: float = Field(1.0, ge=0, le=1)
    """A position varies only where its two most probable tokens differ by less than this; 1 lets all vary."""
    top_k: int = Field(2, ge=1, le=4)
    """Tokens tried at a position that varies."""
    most: int = Field(4, ge=1, le=64)
    """Most blocks, the draft itself included; 1 verifies the draft alone."""
    packed: bool = True
    """Verify all blocks in one pass; false: in one pass each."""


class Candidates(Proposal):
    """Whole blocks with the most probable tokens at early, uncertain positions; the best-scored ones, bounded
    in number.

    Packed, the blocks share their common prefixes in a trie and one pass of the target; sequential, each takes a
    separate pass, as in the testbed of seed document 003. The number of blocks depends on the draft, so this waits for
    the device once more per cycle.
    """

    Settings = CandidatesSettings
    settings: CandidatesSettings

    def nodes(self, count: int) -> int:
        return max(1, count) * self.settings.most

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        settings, device = self.settings, draft.tokens.device
        depth = min(settings.branch_depth, len(draft))
        probabilities, ids = draft.probabilities[:, :depth].topk(
            min(settings.top_k, draft.probabilities.shape[-1]), -1
        )
        table = (
            torch.cat([probabilities.log().clamp(min=-1e4), ids.to(probabilities.dtype)], -1)
            .double()
            .tolist()
        )
        rows = [
            self._blocks(row, tokens, depth) for row, tokens in zip(table, draft.tokens.tolist(), strict=True)
        ]
        tree = _together([trie(blocks) if settings.packed else forest(blocks) for blocks in rows], device)
        if not settings.packed:
            size = len(draft)
            stops = [1 + size * (1 + index) for index in range(max(1, tree.size // max(1, size)))]
            tree.parts = list(zip([0, *stops[:-1]], stops, strict=True))
        return tree

    def _blocks(self, table: list[list[float]], tokens: list[int], depth: int) -> list[list[int]]:
        """Return the blocks of one row: the draft itself, then the others, best first. table: log probabilities, then
        ids, per slot."""
        settings, choices = self.settings, []
        for slot in range(depth):
            costs, ids = table[slot][: len(table[slot]) // 2], table[slot][len(table[slot]) // 2 :]
            first = exp(costs[0])
            varies = len(costs) > 1 and first - exp(costs[1]) <= settings.margin
            pairs = [(cost, int(token)) for cost, token in zip(costs, ids, strict=True)]
            choices.append(pairs if varies else [(costs[0], tokens[slot])])
        scored = [(sum(cost for cost, _ in path), [token for _, token in path]) for path in product(*choices)]
        scored.sort(key=lambda pair: -pair[0])
        blocks = [head + tokens[depth:] for _, head in scored if head + tokens[depth:] != tokens]
        return [tokens, *blocks[: settings.most - 1]]


def trie(blocks: list[list[int]]) -> tuple[list[int], list[int]]:
    """Return parents (0 is the anchor) and tokens of the blocks, with common prefixes shared."""
    known: dict[tuple[int, int], int] = {}
    parents, tokens = [], []
    for block in blocks:
        above = 0
        for token in block:
            node = known.get((above, token))
            if node is None:
                parents.append(above)
                tokens.append(token)
                node = known[above, token] = len(tokens)
            above = node
    return parents, tokens


def forest(blocks: list[list[int]]) -> tuple[list[int], list[int]]:
    """Return parents and tokens of the blocks without sharing, each block a run of nodes."""
    parents: list[int] = []
    tokens: list[int] = []
    for block in blocks:
        first = len(tokens)
        parents += [0, *range(first + 1, first + len(block))][: len(block)]
        tokens += block
    return parents, tokens


def _together(made: list[tuple[list[int], list[int]]], device: Any) -> Tree:
    """Return one tree for all rows, smaller ones padded with nodes that do not exist."""
    size = max(len(tokens) for _, tokens in made)
    shapes = [shape_of((*parents, *[0] * (size - len(parents))), str(device)) for parents, _ in made]
    tokens = torch.tensor([row + [0] * (size - len(row)) for _, row in made], device=device, dtype=torch.long)
    tokens = tokens.view(len(made), size)
    if len(made) == 1:
        return Tree(shapes[0], tokens)
    exists = torch.tensor([[1] * len(row) + [0] * (size - len(row)) for _, row in made], device=device).bool()
    together = Shape(
        torch.cat([shape.parents for shape in shapes]),
        torch.cat([shape.depths for shape in shapes]),
        torch.cat([shape.mask for shape in shapes]),
        max(shape.deepest for shape in shapes),
        max(shape.widest for shape in shapes),
    )
    return Tree(together, tokens, exists=exists)


class RoundsSettings(Settings):
    """Candidates in rounds, all verified in one pass."""

    name: Literal["rounds"] = "rounds"
    """The name of the proposal."""
    rounds: int = Field(2, ge=1, le=8)
    """Candidates per position; 1 is a chain."""
    source: Literal["same", "branch", "temperature", "top_k", "dropout"] = "same"
    """Distribution of the later candidates: the draft's again (`same`); the draft's without the tokens already
    offered (`branch`); a flatter one (`temperature`); its most probable tokens only (`top_k`); that of a pass with
    some features dropped (`dropout`)."""
    heat: float = Field(2.0, gt=0, le=100)
    """For `temperature`: factor by which the logits are divided further."""
    keep: int = Field(4, ge=1, le=1024)
    """For `top_k`: number of tokens."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """For `dropout`: share of features dropped."""


class Rounds(Proposal):
    """Several candidates at every position, each considered after the earlier ones were rejected.

    The draft is the first round. The others are drawn from the same distribution again, or from other sources (seed
    document 003, idea 7). Each node records the distribution it was drawn from, so the residual rule stays exact.
    """

    Settings = RoundsSettings
    settings: RoundsSettings
    rounds = True

    def nodes(self, count: int) -> int:
        return count * self.settings.rounds

    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        settings, count, device = self.settings, len(draft), str(draft.tokens.device)
        if settings.rounds == 1:
            return Tree(chain_shape(count, device), draft.tokens, draft.distributions)
        tokens, distributions = [draft.tokens], [draft.distributions]
        noise = context.noise(ROUNDS, (settings.rounds, count))
        later = self._later(draft, context)
        for number in range(1, settings.rounds):
            distribution = later
            if settings.source == "branch":
                distribution = _without(later, tokens)
            tokens.append(invert(distribution, noise[:, number]))
            distributions.append(distribution)
        parents = tuple(range(count)) * settings.rounds
        return Tree(shape_of(parents, device), torch.cat(tokens, 1), torch.cat(distributions, 1))

    def _later(self, draft: Draft, context: DraftContext) -> Tensor:
        """Return the distribution [B, n, V] of the later rounds, before any token is removed."""
        settings = self.settings
        assert (
            draft.logits is not None and draft.distributions is not None
        )  # `marginals`, and a rule that draws
        if settings.source in ("same", "branch"):
            return draft.distributions
        if settings.source == "dropout":
            varied = context.drafter.vary(context.view, context.count, settings.dropout, context.noise)
            return context.distribution(varied[:, : len(draft)])
        if settings.source == "temperature":
            return context.distribution(draft.logits / settings.heat)
        least = draft.distributions.topk(min(settings.keep, draft.distributions.shape[-1]), -1).values[
            ..., -1:
        ]
        distribution = draft.distributions.masked_fill(draft.distributions < least, 0)
        return distribution / distribution.sum(-1, keepdim=True)


def _without(distribution: Tensor, offered: list[Tensor]) -> Tensor:
    """Return the distribution without the tokens already offered; unchanged where nothing else would be left."""
    taken = distribution.scatter(-1, torch.stack(offered, -1), 0.0)
    total = taken.sum(-1, keepdim=True)
    return torch.where(total > 0, taken / total.clamp(min=1e-300), distribution)
