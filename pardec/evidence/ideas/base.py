"""What a drafting idea is, as the evidence sees it."""

from __future__ import annotations

from dataclasses import dataclass

BASELINE = "draft"
"""The arm that every idea is held against unless it says otherwise: one chain of a fixed block."""
BEST_FIXED = "best fixed block"
"""In place of an arm: the fixed block that was fastest on prompts kept for tuning, for each workload."""


@dataclass(frozen=True)
class Setting:
    """One way to realise an idea.

    arm: its name in the study. words: what sets it apart from the idea's other settings. control: the arm that runs
    the same machinery with the idea switched off; it must write the tokens and take the cycles of `against`.
    """

    arm: str
    words: str
    control: str | None = None
    against: str = BASELINE


@dataclass(frozen=True)
class Idea:
    """One idea of seed 003, or beyond it.

    id: its name in ids of values. number: in the seed; ideas beyond it count on. what: what it is. hope: what it
    should do. why: what is known of the reasons behind what it does, in words that no measurement changes.
    settings: the first decides the idea's status, the others stand beside it; which one is first was fixed before
    anything was measured. by_law: outputs are drawn, so they cannot equal the greedy ones token by token; exactness is
    a test of their distribution. instrument: it measures and changes no token, so it has no speed of its own.
    """

    id: str
    number: int
    title: str
    what: str
    hope: str
    why: str
    settings: tuple[Setting, ...]
    by_law: bool = False
    instrument: bool = False

    @property
    def seeded(self) -> bool:
        """Whether it is one of the seed's own."""
        return self.number <= SEEDED


SEEDED = 10
"""How many ideas the seed lists."""
