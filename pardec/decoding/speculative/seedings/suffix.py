"""What all kinds of suffix recycling share: the rejected rest of a draft, put where it belongs in the next block.

The target refused token a + 1 of a draft and wrote its own there, which is the next anchor. So the rest moves by a + 1
slots to keep its positions: what stood in slot s + a + 1 behind the old anchor stands in slot s behind the new one.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.speculative.base import Hints, Outcome, Seeding

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


class SuffixSettings(Settings):
    keep: bool = True
    """Whether a recycled token is proposed again where it stands; false: the draft only reads it, and writes that slot
    anew."""
    budget: int = Field(64, ge=0, le=64)
    """Most tokens recycled a cycle, the first ones; 0 recycles none."""


class Suffix(Seeding):
    settings: SuffixSettings

    def __init__(self, settings: SuffixSettings):
        super().__init__(settings)
        self.keeps = settings.keep
        self.last: Outcome | None = None
        self.seeded: Any = 0

    def learn(self, outcome: Outcome) -> None:
        self.last = outcome

    def hints(self, count: int) -> Hints | None:
        self.seeded = 0
        if self.last is None or not len(self.last.draft):
            return None
        draft, device = self.last.draft, self.last.draft.tokens.device
        shift = torch.tensor(self.last.accepted, device=device)[:, None] + 1
        slots = torch.arange(count, device=device)
        places = slots + shift
        where = places < len(draft)
        places = places.clamp(max=len(draft) - 1)
        where = where & self.chosen(slots, places)
        where = where & (where.cumsum(1) <= self.settings.budget)
        self.seeded = where.sum()
        return Hints(draft.tokens.gather(1, places), where)

    @abstractmethod
    def chosen(self, slots: Tensor, places: Tensor) -> Tensor:
        """Which of the next block's slots [n] take a token; places: [B, n], where it stood in the last draft."""

    def facts(self) -> dict[str, Any]:
        return {"seeded": self.seeded}
