"""What the loop and its strategies tell each other.

A strategy sees what is committed and what was drafted. No strategy holds the target: the loop alone runs it,
and refuses a generation in which anybody else did.
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
"""Uniform numbers of this cycle: which use of them, and their shape, to float64 [B, *shape]."""
Choose = Callable[["Tensor", int], "Tensor"]
"""Logits [B, n, V] of the slots from the given one on, to their tokens [B, n]: the most likely, or drawn."""


@dataclass
class View:
    """All that a drafter may see.

    rows: tokens of each row, prompt included and padding not. anchor: [B, 1] long, the last token of each.
    lengths: columns of each row before its anchor, padding included. pad: [B] long, or None where no row has
    any. fresh: [B, m, F], the target's hidden states of the columns that became final since the drafter last
    looked, or None where it wants none; counts: how many of the m belong to each row, which end at its
    length. agreed: of the tokens that the last cycle committed, how many at their head were those of the
    draft itself.
    """

    rows: list[list[int]]
    anchor: Tensor
    lengths: list[int]
    pad: Tensor | None
    fresh: Tensor | None
    counts: list[int]
    agreed: list[int]

    @property
    def single(self) -> bool:
        """Whether all rows are one, unpadded: then plain slices do."""
        return len(self.rows) == 1 and self.pad is None

    def starts(self, back: int = 0) -> Tensor:
        """[B, 1] long: each row's length, less `back`."""
        lengths = [length - back for length in self.lengths]
        return torch.tensor(lengths, device=self.anchor.device)[:, None]


@dataclass
class Draft:
    """What a drafter wrote behind the anchor.

    tokens: [B, n] long. logits: [B, n, V], the draft's own, or None where it has no law of its own. laws: [B,
    n, V] float64, the law that each token was drawn from, where tokens are drawn.
    """

    tokens: Tensor
    logits: Tensor | None = None
    laws: Tensor | None = None
    _chances: Tensor | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return self.tokens.shape[1]

    @property
    def chances(self) -> Tensor:
        """[B, n, V]: the draft's own probabilities."""
        if self._chances is None:
            self._chances = self.logits.softmax(-1)
        return self._chances

    def confidence(self) -> Tensor:
        """[B, n]: the draft's own probability of each of its tokens."""
        return self.chances.gather(-1, self.tokens[..., None])[..., 0]

    def holding(self, hints: Hints) -> Draft:
        """The same with the hints' tokens where they stand; they were not drawn, so their law is one point."""
        size = len(self)
        where, told = hints.where[:, :size], hints.tokens[:, :size]
        laws = self.laws
        if laws is not None:
            point = torch.zeros_like(laws).scatter_(-1, told[..., None], 1.0)
            laws = torch.where(where[..., None], point, laws)
        return Draft(torch.where(where, told, self.tokens), self.logits, laws)

    def cut(self, size: int) -> Draft:
        """The first `size` slots."""
        if size >= len(self):
            return self
        parts = (self.logits, self.laws, self._chances)
        return Draft(self.tokens[:, :size], *(None if part is None else part[:, :size] for part in parts))


@dataclass
class Hints:
    """Tokens offered to a drafter in place of masks: tokens [B, n] long, and where [B, n] bool they stand."""

    tokens: Tensor
    where: Tensor


@dataclass
class Target:
    """What a drafter may borrow of the target: its embedding [V, hidden] and its output head, never a pass."""

    embedding: Tensor
    head: Callable[[Tensor], Tensor]
    """Normed hidden states to logits, a token that is never written left out."""
    ban: Callable[[Tensor], Tensor]
    """Leaves that token out of any logits."""
    info: Any


@dataclass
class Outcome:
    """What a cycle was, for strategies that learn from it. accepted: drafted tokens that each row committed.
    active: rows that were not finished. seconds: how long it took, or None where nobody keeps time."""

    draft: Draft
    block: int
    accepted: list[int]
    active: list[int]
    seconds: float | None

    @property
    def tau(self) -> float:
        """Tokens committed a row, the target's own included."""
        return sum(self.accepted[row] for row in self.active) / len(self.active) + 1


ACCEPTING, BONUS, ROUNDS, DROPPING = 12, 13, 14, 15
"""Random streams of a cycle for what is not a drafter's own pass."""


class Strategy(ABC):
    """One file, one registry line. It is made anew for every generation, so it may keep what it saw."""

    Settings: ClassVar[type[Settings]]

    def __init__(self, settings: Settings):
        self.settings = settings

    def facts(self) -> dict[str, Any]:
        """What the record of the last cycle should hold of it: plain numbers, or tensors left on the device."""
        return {}


class Drafter(Strategy):
    companion: ClassVar[str | None] = None
    """What it calls the model that it needs."""
    marginals: ClassVar[bool] = True
    """Whether it has probabilities of its own, which trees, gates and residuals ask for."""
    redrafts: ClassVar[bool] = False
    """Whether it reads hints and can draft a block again."""

    whole: ClassVar[bool] = False
    """Whether it writes whole blocks at a time, so that the last block of a text is drafted whole and then
    cut: it was trained on blocks of one size."""
    varies: ClassVar[bool] = False
    """Whether it can draft a block from features of which some are dropped."""

    def taps(self, companion: Any) -> tuple[int, ...] | None:
        """Layers of the target whose hidden states it wants to see."""
        return None

    @abstractmethod
    def begin(self, target: Target, companion: nn.Module | None, batch: int, size: int) -> None:
        """A generation of `batch` rows and at most `size` columns begins."""

    @abstractmethod
    def propose(self, view: View, count: int, choose: Choose, hints: Hints | None = None) -> Draft:
        """Up to `count` tokens behind each anchor."""

    def redraft(self, view: View, count: int, choose: Choose, hints: Hints) -> Draft:
        """The block of the last `propose` once more, beginning with what it holds now; the rest is masked."""
        raise NotImplementedError(f"{type(self).__name__} cannot draft a block again: choose another drafter")

    def vary(self, view: View, count: int, rate: float, noise: Noise) -> Tensor:
        """Logits [B, count, V] of the same block with a share `rate` of its new context's features dropped."""
        raise NotImplementedError(f"{type(self).__name__} has no features to drop: choose another drafter")


class Schedule(Strategy):
    @abstractmethod
    def block(self) -> int:
        """Tokens of the next block, the anchor included."""

    def learn(self, outcome: Outcome) -> None:
        """A cycle ended."""

    def largest(self) -> int:
        """The largest block it will ever ask for."""
        return self.block()


class Proposal(Strategy):
    sequential: bool = False
    """Whether its branches are verified one after another."""
    rounds: ClassVar[bool] = False
    """Whether it draws further candidates itself, so that only a rule with a residual keeps the law."""

    def nodes(self, count: int) -> int:
        """The most nodes it makes of `count` drafted tokens."""
        return count

    @abstractmethod
    def pack(self, draft: Draft, bench: Bench) -> Tree:
        """The tree to verify, of a draft of one token at least."""


class Refinement(Strategy):
    @abstractmethod
    def refine(self, draft: Draft, bench: Bench) -> Draft:
        """A better draft of the same block."""


class Seeding(Strategy):
    keeps: bool = False
    """Whether what it offers stands in the draft as well, or only in the drafter's input."""

    @abstractmethod
    def hints(self, count: int) -> Hints | None:
        """What the next block of `count` tokens behind its anchor begins with."""

    def learn(self, outcome: Outcome) -> None:
        """A cycle ended."""


class Truncation(Strategy):
    @abstractmethod
    def keep(self, draft: Draft, ends: tuple[int, ...]) -> int:
        """How many drafted tokens are verified at all. ends: tokens that end a text."""


@dataclass
class Verdict:
    """What a rule decided, all on the device.

    counts: [B] long, accepted nodes. path: [B, D] long, their indices in the tree, by depth; what follows the
    count is not read. tokens: [B, D + 1] long, their tokens, and at the count the target's own.
    """

    counts: Tensor
    path: Tensor | None
    tokens: Tensor


class Rule(Strategy):
    draws: ClassVar[bool] = False
    """Whether drafted tokens are drawn from the draft's law instead of being its most likely."""
    residual: ClassVar[bool] = False
    """Whether it takes rejected candidates out of the law, so that it can hear several."""

    @abstractmethod
    def decide(self, tree: Tree, logits: Tensor, judge: Judge) -> Verdict:
        """logits: [B, 1 + nodes, V], the target's, at the anchor and at each node."""


@dataclass
class Bench:
    """What refinements and proposals work with: the drafter and what it was asked for. count: drafted tokens;
    a draft that was cut since has fewer."""

    drafter: Drafter
    view: View
    count: int
    choose: Choose
    noise: Noise
    law: Callable[[Tensor], Tensor]
    """Logits [..., V] to the probabilities that tokens are drawn from, float64."""


@dataclass
class Judge:
    """What a rule works with.

    law: as of `Bench`. noise: the same. place: [B] long, the output position that the anchor's own prediction
    has. pick: logits [B, n, V] and output positions [B, n] to the target's own tokens [B, n]: its most
    likely, or those that plain decoding would draw at these positions.
    """

    law: Callable[[Tensor], Tensor]
    noise: Noise
    place: Tensor
    pick: Callable[[Tensor, Tensor], Tensor]
