"""Token trees: every proposal is a tree, and a chain is a tree without branches.

A strategy may assume of a tree: index 0 is the anchor; nodes 1..n come after their parents, so parents[:, k] <
k; siblings are ordered, and an acceptance rule considers them in that order; siblings may have equal tokens; a
node that does not exist still has a token and is verified, but neither it nor any descendant is ever accepted.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


@dataclass(frozen=True)
class Shape:
    """The form of a tree without its tokens. Index 0 is the anchor.

    parents: [R, 1 + n] long, the anchor's own parent is 0; R is 1 where all rows share one shape. depths: [R, 1 + n]
    long. mask: [R, 1 + n, 1 + n] bool, the attention mask within the tree: whether the second index is the first or
    its ancestor. deepest: an upper bound on the depth of a node. chain: no node has a sibling, and all rows share
    the shape.
    """

    parents: Tensor
    depths: Tensor
    mask: Tensor
    deepest: int
    widest: int = 1
    """An upper bound on the number of children of a node."""
    chain: bool = False

    @property
    def size(self) -> int:
        """Return the number of nodes without the anchor."""
        return self.parents.shape[1] - 1

    def children(self) -> Tensor:
        """Return the children of each node in order, [R, widest, 1 + n] long; 0 where it has no further child."""
        parents = self.parents[:, 1:]
        order = torch.arange(self.size, device=parents.device)
        elder = (parents[:, :, None] == parents[:, None]) & (order < order[:, None])
        ranks = elder.sum(-1).clamp(max=self.widest - 1)
        children = parents.new_zeros(len(parents), self.widest * (self.size + 1))
        children.scatter_(1, ranks * (self.size + 1) + parents, (order + 1).expand_as(parents))
        return children.view(len(parents), self.widest, self.size + 1)


@dataclass
class Tree:
    """A shape with tokens [B, n] long.

    distributions: [B, n, V] float64, the distribution that each token was drawn from, given that its earlier siblings
    were rejected; None where tokens are fixed choices. exists: [B, n] bool, whether a node exists; None means all.
    parts: where branches are verified in several passes, the node indices first..stop of each pass, the anchor (0)
    in the first.
    """

    shape: Shape
    tokens: Tensor
    distributions: Tensor | None = None
    exists: Tensor | None = None
    parts: list[tuple[int, int]] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Return the number of nodes."""
        return self.tokens.shape[1]


@lru_cache(maxsize=256)
def chain_shape(size: int, device: str) -> Shape:
    """Return the shape of a chain of `size` nodes."""
    order = torch.arange(size + 1, device=device)
    mask = (order[:, None] >= order)[None]
    return Shape((order - 1).clamp(min=0)[None], order[None], mask, size, chain=True)


@lru_cache(maxsize=256)
def shape_of(parents: tuple[int, ...], device: str) -> Shape:
    """Return the shape whose node i + 1 has parent parents[i] (0 is the anchor).

    Raises:
        ValueError: a parent does not come before its child.
    """
    size = len(parents) + 1
    depths, mask = [0] * size, [[False] * size for _ in range(size)]
    mask[0][0] = True
    for node, parent in enumerate(parents, 1):
        if not 0 <= parent < node:
            raise ValueError(f"node {node} has parent {parent}, which does not stand before it")
        depths[node] = depths[parent] + 1
        mask[node] = list(mask[parent])
        mask[node][node] = True
    return Shape(
        torch.tensor([[0, *parents]], device=device),
        torch.tensor([depths], device=device),
        torch.tensor([mask], device=device),
        max(depths),
        max(parents.count(parent) for parent in parents) if parents else 1,
        chain=parents == tuple(range(size - 1)),
    )


def shape_from(parents: Tensor, deepest: int, widest: int) -> Shape:
    """Return the shape of trees that differ between rows, without waiting for the device.

    parents: [B, 1 + n] long, each before its child. deepest: an upper bound on the depth. The mask is the
    transitive closure, computed by squaring: after k rounds a node attends to 2^k generations.
    """
    rows, size = parents.shape
    mask = torch.zeros(rows, size, size, device=parents.device)
    mask.scatter_(2, parents[..., None], 1.0)
    mask.diagonal(dim1=1, dim2=2).fill_(1.0)
    reach = 1
    while reach < deepest:
        mask = (mask @ mask).clamp_(max=1.0)
        reach *= 2
    attends = mask > 0
    return Shape(parents, attends.sum(-1) - 1, attends, deepest, widest)


def longest_path(tree: Tree, good: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the longest path of nodes that are all good; the first one among equals.

    good: [B, n] bool. Returns its length [B], its nodes [B, deepest] (entries past the length are undefined),
    and its last node [B], 0 for the anchor.
    """
    shape, rows = tree.shape, len(good)
    bad = ~good if tree.exists is None else ~(good & tree.exists)
    blocked = (shape.mask[:, 1:, 1:] & bad[:, None]).any(-1)
    order = torch.arange(1, shape.size + 1, device=good.device)
    rank = (shape.depths[:, 1:] * (shape.size + 1) - order).masked_fill(blocked, -1)
    rank = torch.cat([rank.new_zeros(rows, 1), rank], 1)
    last = rank.argmax(1)
    depths = shape.depths.expand(rows, -1).gather(1, last[:, None])[:, 0]
    index = last[:, None, None].expand(-1, 1, shape.size + 1)
    above = shape.mask.expand(rows, -1, -1).gather(1, index)[:, 0, 1:]
    path = order.expand_as(above).masked_fill(~above, shape.size).sort(1).values
    return depths, path[:, : shape.deepest], last
