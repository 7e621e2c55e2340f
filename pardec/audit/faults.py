"""What is wrong with a file of a run, and how deep it lies."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

FLOORS = (
    ("results/data/", 1),
    ("results/models/", 2),
    ("results/machine", 3),
    ("results/warmup", 3),
    ("results/study", 3),
    ("results/floors", 3),
    ("results/lists/", 3),
    ("results/quality/", 4),
    ("results/likelihood/", 5),
    ("results/verify_cost/", 5),
    ("results/cells/", 5),
    ("results/tables/", 6),
    ("results/figures/", 7),
    ("results/trails", 7),
    ("results/values.json", 8),
    ("results/", 9),
)
"""How far above the data a file stands; code and words, outside of the results, stand below all of it."""
TOP = 10


@dataclass(frozen=True)
class Fault:
    """path: the file. why: one sentence, without the file's name."""

    path: str
    why: str

    @property
    def floor(self) -> int:
        if self.path.endswith("score.json"):
            return 5
        if self.path.endswith("report.html"):
            return TOP
        return next((floor for start, floor in FLOORS if self.path.startswith(start)), 0)


def lowest_first(faults: Iterable[Fault]) -> list[Fault]:
    """One fault a file, the first found; files that others rest on come first."""
    first: dict[str, Fault] = {}
    for fault in faults:
        first.setdefault(fault.path, fault)
    return sorted(first.values(), key=lambda fault: (fault.floor, fault.path))
