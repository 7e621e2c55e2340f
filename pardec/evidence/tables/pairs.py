"""Select clean samples of a record and pair those of cell and reference."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from pardec.study import kinds as kinds_of_study

Sample = dict[str, Any]


@dataclass(frozen=True)
class Pairs:
    """Samples of the cell and of its reference from the same prompts in the same block.

    cell, reference: entry i of both is one pair. prompts, blocks: the keys that a bootstrap resamples.
    """

    cell: list[Sample]
    reference: list[Sample]

    @property
    def prompts(self) -> list[tuple]:
        """Return the prompt ids of each sample."""
        return [tuple(sample["prompts"]) for sample in self.cell]

    @property
    def blocks(self) -> list[int]:
        """Return the number of the randomised block of each sample."""
        return [sample["block"] for sample in self.cell]

    def __len__(self) -> int:
        return len(self.cell)


def clean(samples: list[Sample]) -> list[Sample]:
    """Return samples without flags on the machine's state; all of them if none is clean."""
    unflagged = [sample for sample in samples if not sample.get("flags")]
    return unflagged or samples


def pair(cell: list[Sample], reference: list[Sample]) -> Pairs:
    """Return samples paired by block and prompts; pairs with a flag are left out unless all have one.

    Raises:
        ValueError: two samples of one arm share block and prompts.
    """
    other = {_key(sample): sample for sample in reference}
    if len(other) != len(reference) or len({_key(sample) for sample in cell}) != len(cell):
        raise ValueError("two samples of one arm share block and prompts")
    both = [(sample, other[_key(sample)]) for sample in cell if _key(sample) in other]
    kept = [(a, b) for a, b in both if not a.get("flags") and not b.get("flags")] or both
    return Pairs([a for a, _ in kept], [b for _, b in kept])


def flags(samples: list[Sample]) -> str | None:
    """Return flags with their number of samples, as "throttled:2 foreign:1"; None without flags."""
    seen = Counter(flag for sample in samples for flag in sample.get("flags") or ())
    words = [f"{name}:{times}" for name, times in sorted(seen.items())]
    if samples and all(sample.get("flags") for sample in samples):
        words.append("no_clean_sample")
    return " ".join(words) or None


def committed_per_row(sample: Sample) -> float:
    """Return the tokens that the generation committed per row."""
    return sum(sample["committed"]) if sample.get("committed") else math.nan


def first_block_ms(sample: Sample) -> float:
    """Return the time at which the first left-to-right block was final; NaN if not recorded."""
    return min(sample.get("block_ms") or [math.nan])


def gaps_ms(sample: Sample) -> list[float]:
    """Return inter-token latencies: gaps between consecutive commits; passes without commits extend a gap."""
    stamps = [
        at
        for at, count in zip(sample.get("commit_ms") or (), sample.get("committed") or (), strict=False)
        if count > 0
    ]
    return [later - earlier for earlier, later in pairwise(stamps)]


def tpot_ms(sample: Sample) -> float:
    """Return time per output token: (E2E - TTFT) / (tokens per row - tokens per row of the first commit).

    If a single pass commits everything, there is no decode phase, and the result is E2E / tokens.
    """
    tokens, first = committed_per_row(sample), sample.get("first_tokens")
    if first is None or not tokens > 0:
        return math.nan
    if tokens - first < 0.5:
        return sample["e2e_ms"] / tokens
    return (sample["e2e_ms"] - sample["first_ms"]) / (tokens - first)


def kind_of(cell: dict[str, Any], kinds: dict[str, str]) -> str:
    """Return the kind of a cell's experiment, as declared in the study."""
    return kinds.get(cell["experiment"]) or kinds_of_study.kind_of(cell["experiment"])


def task_of(cell: dict[str, Any]) -> str:
    """Return the task of a cell; its workload where the prompts have no task."""
    return cell.get("task") or cell["workload"]


def interval(name: str, estimate: Any, stem: str = "") -> dict[str, Any]:
    """Return a column and its two bounds; empty without an estimate."""
    if estimate is None:
        return {}
    stem = stem or name
    return {name: estimate.value, f"{stem}_low": estimate.low, f"{stem}_high": estimate.high}


def _key(sample: Sample) -> tuple:
    return sample["block"], tuple(sample["prompts"])
