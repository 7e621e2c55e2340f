"""Whole blocks from the likeliest tokens at early, uncertain positions: bounded in number, the best by tau then score.

Packed, the blocks share their common beginnings in a trie and one pass of the target; sequential, each has a pass of
its own, as the testbed of seed 003 had. How many blocks there are depends on the draft, so the device is waited for
once more a cycle.
"""

from __future__ import annotations

from itertools import product
from typing import Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Bench, Draft, Proposal
from pardec.decoding.speculative.tree import Shape, Tree, shape_of

torch = lazy("torch")


class CandidatesSettings(Settings):
    """A bounded set of blocks."""

    name: Literal["candidates"] = "candidates"
    """The name of the proposal."""
    branch_depth: int = Field(3, ge=0, le=8)
    """Positions that may vary, from the first."""
    margin: float = Field(1.0, ge=0, le=1)
    """A position varies only where its two likeliest tokens differ by less than this; 1 lets all vary."""
    top_k: int = Field(2, ge=1, le=4)
    """Tokens tried at a position that varies."""
    most: int = Field(4, ge=1, le=64)
    """Blocks, the draft itself among them; 1 leaves it alone."""
    packed: bool = True
    """Verify all in one pass; false: one after another."""


class Candidates(Proposal):
    Settings = CandidatesSettings
    settings: CandidatesSettings

    def nodes(self, count: int) -> int:
        return max(1, count) * self.settings.most

    def pack(self, draft: Draft, bench: Bench) -> Tree:
        own, device = self.settings, draft.tokens.device
        depth = min(own.branch_depth, len(draft))
        chances, ids = draft.chances[:, :depth].topk(min(own.top_k, draft.chances.shape[-1]), -1)
        told = torch.cat([chances.log().clamp(min=-1e4), ids.to(chances.dtype)], -1).double().tolist()
        rows = [
            self._blocks(row, tokens, depth) for row, tokens in zip(told, draft.tokens.tolist(), strict=True)
        ]
        tree = _together([trie(blocks) if own.packed else forest(blocks) for blocks in rows], device)
        if not own.packed:
            size = len(draft)
            stops = [1 + size * (1 + index) for index in range(max(1, tree.size // max(1, size)))]
            tree.parts = list(zip([0, *stops[:-1]], stops, strict=True))
        return tree

    def _blocks(self, told: list[list[float]], tokens: list[int], depth: int) -> list[list[int]]:
        """Blocks of one row, best first; the draft's own is the first."""
        own, choices = self.settings, []
        for slot in range(depth):
            costs, ids = told[slot][: len(told[slot]) // 2], told[slot][len(told[slot]) // 2 :]
            first = 2.718281828459045 ** costs[0]
            varies = len(costs) > 1 and first - 2.718281828459045 ** costs[1] <= own.margin
            pairs = [(cost, int(token)) for cost, token in zip(costs, ids, strict=True)]
            choices.append(pairs if varies else [(costs[0], tokens[slot])])
        scored = [(sum(cost for cost, _ in path), [token for _, token in path]) for path in product(*choices)]
        scored.sort(key=lambda pair: -pair[0])
        blocks = [head + tokens[depth:] for _, head in scored if head + tokens[depth:] != tokens]
        return [tokens, *blocks[: own.most - 1]]


def trie(blocks: list[list[int]]) -> tuple[list[int], list[int]]:
    """Parents (0 is the anchor) and tokens of the blocks, common beginnings once."""
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
    """The same without sharing, each block a run of nodes."""
    parents, tokens = [], []
    for block in blocks:
        first = len(tokens)
        parents += [0, *range(first + 1, first + len(block))][: len(block)]
        tokens += block
    return parents, tokens


def _together(made: list[tuple[list[int], list[int]]], device) -> Tree:
    """Trees of rows, the smaller filled up with nodes that do not exist."""
    size = max(len(tokens) for _, tokens in made)
    shapes = [shape_of((*parents, *[0] * (size - len(parents))), str(device)) for parents, _ in made]
    tokens = torch.tensor([own + [0] * (size - len(own)) for _, own in made], device=device, dtype=torch.long)
    tokens = tokens.view(len(made), size)
    if len(made) == 1:
        return Tree(shapes[0], tokens)
    real = torch.tensor([[1] * len(own) + [0] * (size - len(own)) for _, own in made], device=device).bool()
    together = Shape(
        torch.cat([shape.parents for shape in shapes]),
        torch.cat([shape.depths for shape in shapes]),
        torch.cat([shape.seen for shape in shapes]),
        max(shape.deepest for shape in shapes),
        max(shape.widest for shape in shapes),
    )
    return Tree(together, tokens, real=real)
