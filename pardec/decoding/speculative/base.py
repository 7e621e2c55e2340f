"""Interfaces between the loop and its strategies.

A strategy sees what is committed and what was drafted. No strategy holds the target: the loop alone runs it,
and refuses a generation in which anything else did.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.tree import Tree

if TYPE_CHECKING:
    from torch import Tensor, nn

torch = lazy("torch")

Noise = Callable[[int, tuple[int, ...]], "Tensor"]
"""Uniform random numbers of this cycle: (which use of them, shape) to float64 [B, *shape]."""
Choose = Callable[["Tensor", int], "Tensor"]
"""Logits [B, n, V] of the slots from the given one on, to their tokens [B, n]: the most probable, or drawn."""


@dataclass
class View:
    """All that a drafter may see.

    rows: tokens of each row, prompt included and padding not. anchor: [B, 1] long, the last token of each. lengths:
    columns of each row before its anchor, padding included; starts: the same on the device, [B, 1] long. pad: [B]
    long, or None where no row has any. fresh: [B, m, F], the target's hidden states of the columns that became final
    since the last draft, or None where the drafter wants none. counts: how many of the m belong to each row; they end
    at its length. agreed: length of the common prefix of each row's last draft and what its last cycle committed.
    """

    rows: list[list[int]]
    anchor: Tensor
    lengths: list[int]
    starts: Tensor
    pad: Tensor | None
    fresh: Tensor | None
    counts: list[int]
    agreed: list[int]

    @property
    def single(self) -> bool:
        """Whether the only row has no padding: then plain slices do."""
        return len(self.rows) == 1 and self.pad is None


@dataclass
class Draft:
    """What a drafter wrote behind the anchor.

    tokens: [B, n] long. logits: [B, n, V], the draft's own, or None where the drafter has none.
    distributions: [B, n, V] float64, what each token was drawn from, or None where tokens are not drawn.
    """

    tokens: Tensor
    logits: Tensor | None = None
    distributions: Tensor | None = None
    _probabilities: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.tokens.shape[1]

    @property
    def probabilities(self) -> Tensor:
        """[B, n, V]: the draft's own probabilities."""
        if self._probabilities is None:
            self._probabilities = self.logits.softmax(-1)
        return self._probabilities

    def confidence(self) -> Tensor:
        """[B, n]: the draft's own probability of each of its tokens."""
        return self.probabilities.gather(-1, self.tokens[..., None])[..., 0]

    def with_hints(self, hints: Hints) -> Draft:
        """Return the same with the hints' tokens in place; they were not drawn, so their distribution is one point."""
        size = len(self)
        where, tokens = hints.where[:, :size], hints.tokens[:, :size]
        distributions = self.distributions
        if distributions is not None:
            point = torch.zeros_like(distributions).scatter_(-1, tokens[..., None], 1.0)
            distributions = torch.where(where[..., None], point, distributions)
        return Draft(torch.where(where, tokens, self.tokens), self.logits, distributions)

    def cut(self, size: int) -> Draft:
        """Return the first `size` slots."""
        if size >= len(self):
            return self
        parts = (self.logits, self.distributions, self._probabilities)
        return Draft(self.tokens[:, :size], *(None if part is None else part[:, :size] for part in parts))


@dataclass
class Hints:
    """Tokens offered to a drafter in place of masks: tokens [B, n] long, at the slots `where` [B, n] bool."""

    tokens: Tensor
    where: Tensor


@dataclass
class Target:
    """What a drafter may use of the target: its embedding [V, hidden] and its output head, never a pass."""

    embedding: Tensor
    head: Callable[[Tensor], Tensor]
    """Normed hidden states to logits; banned tokens get -inf."""
    ban: Callable[[Tensor], Tensor]
    """Sets banned tokens of any logits to -inf, in place."""
    info: Any


@dataclass
class Outcome:
    """The result of a cycle, for strategies that learn from it. block: tokens of its block, the anchor
    included. accepted: drafted tokens accepted in each row. active: rows that were not finished. seconds: how
    long the cycle took, or None where nothing keeps time."""

    draft: Draft
    block: int
    accepted: list[int]
    active: list[int]
    seconds: float | None

    @property
    def tau(self) -> float:
        """Mean tokens committed per active row, the target's own included."""
        return sum(self.accepted[row] for row in self.active) / len(self.active) + 1


ACCEPTING, BONUS, ROUNDS, DROPPING = 12, 13, 14, 15
"""Random streams of a cycle that are not those of a drafter's passes."""


class Strategy(ABC):
    """One class and one registry line. It is made anew for every generation, so it may keep state."""

    Settings: ClassVar[type[Settings]]

    def __init__(self, settings: Settings):
        self.settings = settings

    def facts(self) -> dict[str, Any]:
        """What the record of the last cycle should hold: plain numbers, or tensors left on the device."""
        return {}


class Drafter(Strategy):
    companion: ClassVar[str | None] = None
    """The name of the companion that it needs."""
    marginals: ClassVar[bool] = True
    """Whether it has probabilities of its own, which trees, gates and residuals read."""
    redrafts: ClassVar[bool] = False
    """Whether it reads hints and can draft a block again."""
    whole: ClassVar[bool] = False
    """Whether it was trained on blocks of one size, so that the last block of a text is drafted whole and
    then cut."""
    varies: ClassVar[bool] = False
    """Whether it can draft a block with some of its features dropped."""

    def taps(self, companion: Any) -> tuple[int, ...] | None:
        """Return the layers of the target whose hidden states it wants to see."""
        return None

    @abstractmethod
    def begin(self, target: Target, companion: nn.Module | None, batch: int, size: int) -> None:
        """Begin a generation of `batch` rows and at most `size` columns."""

    @abstractmethod
    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        """Draft up to `count` tokens behind each anchor."""

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        """Draft the block of the last `propose` once more, from the hints' tokens; the other slots are
        masked."""
        raise NotImplementedError(f"{type(self).__name__} cannot draft a block again: choose another drafter")

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        """Logits [B, count, V] of the same block with a share `rate` of its new context's features dropped."""
        raise NotImplementedError(f"{type(self).__name__} has no features to drop: choose another drafter")


class Schedule(Strategy):
    sizes: tuple[int, ...]
    """The block sizes that it may ask for, ascending."""

    @abstractmethod
    def block(self) -> int:
        """Return the size of the next block in tokens, the anchor included."""

    def learn(self, outcome: Outcome) -> None:
        """Take note of a cycle that ended."""


class Proposal(Strategy):
    sequential: bool = False
    """Whether its branches are verified one after another."""
    rounds: ClassVar[bool] = False
    """Whether it draws further candidates itself, so that only a rule with a residual stays exact."""

    def nodes(self, count: int) -> int:
        """Return a bound on the nodes it makes of `count` drafted tokens."""
        return count

    @abstractmethod
    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        """Return the tree to verify, of a draft of at least one token."""


class Refinement(Strategy):
    @abstractmethod
    def refine(self, draft: Draft, context: DraftContext) -> Draft:
        """Return a better draft of the same block."""


class Seeding(Strategy):
    keeps: bool = False
    """Whether its hints are part of the draft, or only of the drafter's input."""

    @abstractmethod
    def hints(self, count: int) -> Hints | None:
        """Return the tokens that the next block of `count` drafted tokens begins with; None for none."""

    def learn(self, outcome: Outcome) -> None:
        """Take note of a cycle that ended."""


class Truncation(Strategy):
    @abstractmethod
    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        """Return how many drafted tokens are verified. ends: tokens that end a text."""


@dataclass
class Accepted:
    """What a rule accepted, all on the device.

    counts: [B] long, accepted nodes. path: [B, D] long, their indices in the tree, by depth, undefined behind
    the count; None where the tree is a chain. tokens: [B, D + 1] long, their tokens, and at index `count` the
    target's own.
    """

    counts: Tensor
    path: Tensor | None
    tokens: Tensor


class Rule(Strategy):
    draws: ClassVar[bool] = False
    """Whether drafted tokens are drawn from the draft's distribution instead of being its most probable."""
    residual: ClassVar[bool] = False
    """Whether it takes refused candidates out of the distribution, so that it can take several per position."""

    @abstractmethod
    def decide(self, tree: Tree, logits: Tensor, judge: AcceptContext) -> Accepted:
        """Return what is accepted. logits: [B, 1 + n, V], the target's, at the anchor and at each node."""


@dataclass
class DraftContext:
    """What refinements and proposals work with: the drafter and what it was asked for.

    count: drafted tokens asked for; a draft that was cut since has fewer. distribution: logits [..., V] to
    the probabilities that tokens are drawn from, float64.
    """

    drafter: Drafter
    view: View
    count: int
    choose: Choose
    noise: Noise
    distribution: Callable[[Tensor], Tensor]


@dataclass
class AcceptContext:
    """What a rule works with.

    distribution, noise: as in `DraftContext`. position: [B] long, the output position that the anchor's own
    prediction has. pick: logits [B, n, V] and output positions [B, n] to the target's own tokens [B, n]: its
    most probable, or those that plain decoding draws at these positions.
    """

    distribution: Callable[[Tensor], Tensor]
    noise: Noise
    position: Tensor
    pick: Callable[[Tensor, Tensor], Tensor]
