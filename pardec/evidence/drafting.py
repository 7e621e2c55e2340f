"""What the records of experiment `draft` hold, prompt by prompt and cycle by cycle.

tau counts the tokens that a verification committed, the target's own token included. Pooled it is tokens over
verifications; the mean over prompts weighs each prompt alike, and differs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pardec.decoding.registry import drafts
from pardec.evidence.tables.cell_row import task_of
from pardec.evidence.tables.inputs import Source
from pardec.evidence.tables.pairs import Sample

EXPERIMENT = "draft"
SEQUENTIAL = "autoregressive"
DRAFTING = ("draft", "refine")
"""Phases in which the draft model runs."""
VERIFYING = ("verify",)
"""Phases in which the target does."""


@dataclass(frozen=True)
class Side:
    """One arm in one process. outputs: by prompt the tokens before the end token: what stands behind it is nobody's."""

    arm: str
    cell: dict[str, Any]
    samples: list[Sample]
    outputs: dict[str, tuple[int, ...]]

    @property
    def sampled(self) -> bool:
        return bool(self.cell["settings"].get("temperature"))

    @property
    def drafts(self) -> bool:
        """Whether it claims to draft: every speculative decoder does."""
        return drafts(self.cell["decoder"])

    def of(self, prompt: str) -> list[Sample]:
        return [sample for sample in self.samples if prompt_of(sample) == prompt]


@dataclass(frozen=True)
class Trial:
    """One record of the experiment: an arm, and the one it was paired with; None where it stood alone."""

    record: Source
    task: str
    run: int
    tuning: bool
    own: Side
    other: Side | None = field(default=None)

    @property
    def against(self) -> str | None:
        return self.other.arm if self.other else None

    @property
    def ok(self) -> bool:
        return self.record.body["status"] == "ok"

    @property
    def prompts(self) -> list[str]:
        return sorted({prompt_of(sample) for sample in self.own.samples})


def trials(records: Iterable[Source]) -> list[Trial]:
    """The records of the experiment; those of a batch above one belong to other tables."""
    return [
        _trial(record)
        for record in records
        if record.body["cell"]["experiment"] == EXPERIMENT and record.body["cell"]["batch"] == 1
    ]


def _trial(record: Source) -> Trial:
    body, cell = record.body, record.body["cell"]
    own = Side(cell["arm"], cell, body["samples"], _outputs(body.get("outputs"), body["samples"]))
    reference = body.get("reference")
    other = None
    if reference:
        told = reference["cell"]
        outputs = _outputs(reference.get("outputs"), reference["samples"])
        other = Side(told["arm"], told, reference["samples"], outputs)
    return Trial(record, task_of(cell), cell.get("run") or 1, bool(cell.get("tuning")), own, other)


def _outputs(told: list[dict] | None, samples: list[Sample]) -> dict[str, tuple[int, ...]]:
    useful = {prompt_of(sample): sample["useful"] for sample in samples}
    return {
        str(output["prompt"]): tuple(output["tokens"][: useful.get(str(output["prompt"]))])
        for output in told or ()
    }


def prompt_of(sample: Sample) -> str:
    return " ".join(map(str, sample["prompts"]))


def greedy_outputs(found: Iterable[Trial]) -> dict[tuple, tuple[int, ...]]:
    """The target's own greedy tokens by (task, model, canvas, precision, prompt), from every sequential arm in them."""
    known: dict[tuple, tuple[int, ...]] = {}
    for trial in found:
        for side in filter(None, (trial.own, trial.other)):
            if side.cell["decoder"] == SEQUENTIAL and not side.sampled:
                for prompt, tokens in side.outputs.items():
                    known.setdefault((*shape(trial, side), prompt), tokens)
    return known


def shape(trial: Trial, side: Side) -> tuple:
    return trial.task, side.cell["model"], side.cell["new_tokens"], side.cell.get("precision")


def cycles(sample: Sample) -> list[dict[str, Any]]:
    return sample.get("cycles") or []


def taus(samples: Iterable[Sample]) -> list[float]:
    return [cycle["tau"] for sample in samples for cycle in cycles(sample)]


def tau(samples: list[Sample]) -> float | None:
    """Tokens over verifications."""
    found = taus(samples)
    return sum(found) / len(found) if found else None


def depth(cycle: dict[str, Any]) -> int | None:
    """How many tokens the longest path of a proposal holds: the block without its anchor, or what was drafted."""
    if cycle.get("block") is not None:
        return max(int(cycle["block"]) - 1, 0)
    return None if cycle.get("drafted") is None else int(cycle["drafted"])


def nodes(cycle: dict[str, Any]) -> float | None:
    """Tokens in the target's pass, the anchor included."""
    return cycle.get("verified", cycle.get("nodes"))


def impossible(cycle: dict[str, Any]) -> bool:
    """Whether more was committed than was proposed, and the target's one: then something peeked at the target."""
    reach = depth(cycle)
    return reach is not None and cycle["tau"] > reach + 1


def undrafted(cycle: dict[str, Any]) -> bool:
    """Whether nothing was proposed, so that the cycle was a sequential step."""
    return cycle.get("drafted") == 0 or (cycle.get("drafted") is None and depth(cycle) == 0)


def timed_cycles(sample: Sample) -> Iterator[dict[str, float]]:
    """Milliseconds of each cycle: whole, in the draft, in the target, and what is left, the loop's own."""
    end = sample.get("prefill_ms")
    end = sample.get("first_ms") if end is None else end
    for cycle in cycles(sample):
        phases = cycle.get("phases_ms") or {}
        draft = sum(phases.get(name, 0.0) for name in DRAFTING)
        verify = sum(phases.get(name, 0.0) for name in VERIFYING)
        whole = cycle["at_ms"] - (end or 0.0)
        yield {
            "cycle_ms": whole,
            "draft_ms": draft,
            "verify_ms": verify,
            "other_ms": whole - draft - verify,
            "told_ms": sum(phases.values()),
        }
        end = cycle["at_ms"]
