"""Interfaces between the loop and its strategies.

A strategy reads the committed and the drafted tokens. No strategy has access to the target: the loop alone runs it,
and raises an error if anything else did.
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
"""Uniform random numbers of this cycle: (number of the random stream, shape) to float64 [B, *shape]."""
Choose = Callable[["Tensor", int], "Tensor"]
"""Logits [B, n, V] of consecutive slots, and the first slot, to their tokens [B, n]: most probable, or drawn."""


@dataclass
class View:
    """The input of a drafter.

    rows: tokens of each row, with prompt and without padding. anchor: [B, 1] long, the last token of each row. lengths:
    columns of each row before its anchor, padding included; starts: the same on the device, [B, 1] long. pad: [B] long,
    or None without padding. fresh: [B, m, F], the target's hidden states of the columns that became final since the
    last draft, or None if the drafter uses none. counts: number of these m columns per row; they end at the row's
    length. agreed: length of the common prefix of each row's last draft and the tokens that its last cycle committed.
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
        """Return whether there is one row without padding, for which plain slices suffice."""
        return len(self.rows) == 1 and self.pad is None


@dataclass
class Draft:
    """The tokens that a drafter wrote behind the anchor.

    tokens: [B, n] long. logits: [B, n, V] of the draft, or None if the drafter has none. distributions: [B, n, V]
    float64, the distribution that each token was drawn from, or None if tokens are not drawn.
    """

    tokens: Tensor
    logits: Tensor | None = None
    distributions: Tensor | None = None
    _probabilities: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.tokens.shape[1]

    @property
    def probabilities(self) -> Tensor:
        """Return the draft's probabilities [B, n, V].

        Raises:
            ValueError: its drafter has no logits.
        """
        if self._probabilities is None:
            if self.logits is None:
                raise ValueError("this draft has no probabilities: its drafter has no logits")
            self._probabilities = self.logits.softmax(-1)
        return self._probabilities

    def confidence(self) -> Tensor:
        """Return the draft's probability of each of its tokens, [B, n]."""
        return self.probabilities.gather(-1, self.tokens[..., None])[..., 0]

    def with_hints(self, hints: Hints) -> Draft:
        """Return the draft with the hints' tokens inserted; their distribution is one point, as they were not drawn."""
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
    """The parts of the target that a drafter may use: its embedding [V, hidden] and its output head, never a pass."""

    embedding: Tensor
    head: Callable[[Tensor], Tensor]
    """Normed hidden states to logits; banned tokens get -inf."""
    ban: Callable[[Tensor], Tensor]
    """Sets banned tokens of any logits to -inf, in place."""
    info: Any


@dataclass
class Outcome:
    """The result of a cycle, for strategies that learn from it. block: tokens of its block, the anchor included.
    accepted: drafted tokens accepted in each row. active: rows that were not finished. seconds: duration of the cycle,
    or None without a clock."""

    draft: Draft
    block: int
    accepted: list[int]
    active: list[int]
    seconds: float | None

    @property
    def tau(self) -> float:
        """Return the mean number of committed tokens per active row, the target's bonus token included."""
        return sum(self.accepted[row] for row in self.active) / len(self.active) + 1


ACCEPTING, BONUS, ROUNDS, DROPPING = 12, 13, 14, 15
"""Random streams of a cycle beside those of the drafter's passes."""


class Strategy(ABC):
    """One class and one registry line. Every generation makes a new instance, which may keep state."""

    Settings: ClassVar[type[Settings]]

    def __init__(self, settings: Any):
        self.settings = settings

    def facts(self) -> dict[str, Any]:
        """Return facts for the record of the last cycle: plain numbers, or tensors left on the device."""
        return {}


class Drafter(Strategy):
    """Writes drafts: the tokens that the target then verifies in one pass."""

    companion: ClassVar[str | None] = None
    """The name of the companion that it needs."""
    marginals: ClassVar[bool] = True
    """Whether it gives probabilities, which trees, gates and residuals read."""
    redrafts: ClassVar[bool] = False
    """Whether it reads hints and can draft a block again."""
    whole: ClassVar[bool] = False
    """Whether it was trained on blocks of one size, so the last block of a text is drafted whole and then cut."""
    varies: ClassVar[bool] = False
    """Whether it can draft a block with some of its features dropped."""
    conditional: ClassVar[bool] = False
    """Whether a slot's probabilities depend on the token before it, so that `follow` gives those behind any token."""

    def taps(self, companion: Any) -> tuple[int, ...] | None:
        """Return the layers of the target whose hidden states it reads; None for none."""
        return None

    @abstractmethod
    def begin(self, target: Target, companion: nn.Module | None, batch: int, size: int) -> None:
        """Begin a generation of `batch` rows and at most `size` columns."""

    @abstractmethod
    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        """Return a draft of up to `count` tokens behind each anchor."""

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        """Return a second draft of the last `propose`'s block, given the hints' tokens; the other slots are masked."""
        raise NotImplementedError(f"{type(self).__name__} cannot draft a block again: choose another drafter")

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        """Return logits [B, count, V] of the same block with a share `rate` of its new context's features dropped."""
        raise NotImplementedError(f"{type(self).__name__} has no features to drop: choose another drafter")

    def follow(self, slot: int, tokens: Tensor) -> Tensor:
        """Return logits [B, m, V] of `slot` of the last draft behind each of `tokens` [B, m] in the slot before it."""
        raise NotImplementedError(f"{type(self).__name__} knows no token before: read the draft's marginals")


class Schedule(Strategy):
    """Chooses the block of each cycle."""

    sizes: tuple[int, ...]
    """The block sizes that it may choose, ascending."""
    clocked: ClassVar[bool] = False
    """Whether it reads the duration of cycles, so that its choices differ from run to run."""

    @abstractmethod
    def block(self) -> int:
        """Return the size of the next block in tokens, the anchor included."""

    def learn(self, outcome: Outcome) -> None:
        """Take note of a cycle that ended."""


class Proposal(Strategy):
    """Packs a draft into the token tree that the target verifies."""

    sequential: bool = False
    """Whether its branches are verified one after another."""
    rounds: ClassVar[bool] = False
    """Whether it draws further candidates itself, so that only a rule with a residual stays exact."""

    def nodes(self, count: int) -> int:
        """Return an upper bound on the number of nodes for `count` drafted tokens."""
        return count

    @abstractmethod
    def pack(self, draft: Draft, context: DraftContext) -> Tree:
        """Return the tree to verify; `draft` has at least one token."""


class Refinement(Strategy):
    """Improves a draft by further passes of the drafter."""

    @abstractmethod
    def refine(self, draft: Draft, context: DraftContext) -> Draft:
        """Return a better draft of the same block."""


class Seeding(Strategy):
    """Keeps rejected tokens as hints for the next draft."""

    keeps: bool = False
    """Whether its hints are part of the draft, or only of the drafter's input."""

    @abstractmethod
    def hints(self, count: int) -> Hints | None:
        """Return the tokens that the next block of `count` drafted tokens begins with; None for none."""

    def learn(self, outcome: Outcome) -> None:
        """Take note of a cycle that ended."""


class Truncation(Strategy):
    """Decides how many drafted tokens are verified."""

    @abstractmethod
    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        """Return the number of drafted tokens to verify. ends: tokens that end a text."""


@dataclass
class Accepted:
    """The nodes that a rule accepted, as tensors on the device.

    counts: [B] long, number of accepted nodes. path: [B, D] long, their indices in the tree, by depth, undefined past
    the count; None for a chain. tokens: [B, D + 1] long, their tokens, and at index `count` the target's bonus token.
    """

    counts: Tensor
    path: Tensor | None
    tokens: Tensor


class Rule(Strategy):
    """Decides which nodes of a verified tree are accepted."""

    draws: ClassVar[bool] = False
    """Whether drafted tokens are drawn from the draft's distribution instead of being its most probable."""
    residual: ClassVar[bool] = False
    """Whether it removes rejected candidates from the distribution, so it can consider several per position."""

    @abstractmethod
    def decide(self, tree: Tree, logits: Tensor, context: AcceptContext) -> Accepted:
        """Return the accepted nodes. logits: [B, 1 + n, V] of the target, at the anchor and at each node."""


@dataclass
class DraftContext:
    """The input of refinements and proposals: the drafter and its request.

    count: drafted tokens requested; a draft that was cut since has fewer. distribution: logits [..., V] to the
    probabilities that tokens are drawn from, float64.
    """

    drafter: Drafter
    view: View
    count: int
    choose: Choose
    noise: Noise
    distribution: Callable[[Tensor], Tensor]


@dataclass
class AcceptContext:
    """The input of an acceptance rule.

    distribution, noise: as in `DraftContext`. position: [B] long, the output position that the anchor predicts. pick:
    logits [B, n, V] and output positions [B, n] to the target's tokens [B, n]: its most probable ones, or those that
    plain decoding draws at these positions.
    """

    distribution: Callable[[Tensor], Tensor]
    noise: Noise
    position: Tensor
    pick: Callable[[Tensor, Tensor], Tensor]
