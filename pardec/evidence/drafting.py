"""Read the records of drafting experiments, by prompt and by cycle.

tau counts the tokens committed per verification, the target's own token included. Pooled tau is tokens over
verifications; it differs from the mean over prompts, which weights each prompt equally.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from pardec.decoding.divergence import parting
from pardec.decoding.registry import drafts
from pardec.evidence.comparison import faithful
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.pairs import Sample, kind_of, task_of

EXPERIMENT = "draft"
SEQUENTIAL = "autoregressive"
DRAFTING = ("draft", "refine")
"""Phases in which the draft model runs."""
VERIFYING = ("verify",)
"""Phases in which the target runs."""
SHAPE = {
    "prompt_tokens": "prompt",
    "new_tokens": "new",
    "random_prompts": "random prompts",
    "precision": "precision",
    "engine": "engine",
}
"""Keys of a cell that make its times and outputs others than those of the same arm and workload, by their words."""


@dataclass(frozen=True)
class Side:
    """One arm in one process.

    outputs: by prompt, the tokens before the end token. margins, behind: by prompt, in formats shorter than float32:
    nats between the two best logits at each token, and the largest distance of a token's logit behind the best, in
    units in the last place. entropy: by prompt, nats of the target's predictions, mean over the output.
    """

    arm: str
    cell: dict[str, Any]
    samples: list[Sample]
    outputs: dict[str, tuple[int, ...]]
    margins: dict[str, list[float]]
    behind: dict[str, float]
    entropy: dict[str, float] = field(default_factory=dict)

    @property
    def sampled(self) -> bool:
        """Return whether its tokens are drawn (temperature above 0)."""
        return bool(self.cell["settings"].get("temperature"))

    @property
    def drafts(self) -> bool:
        """Return whether the arm's decoder is speculative."""
        return drafts(self.cell["decoder"])

    def of(self, prompt: str) -> list[Sample]:
        """Return its samples of one prompt; prompt: as `prompt_of` returns it."""
        return [sample for sample in self.samples if prompt_of(sample) == prompt]


@dataclass(frozen=True)
class Trial:
    """One record of the experiment: an arm and its reference, None without one."""

    record: Source
    task: str
    run: int
    tuning: bool
    candidate: Side
    other: Side | None = field(default=None)

    @property
    def against(self) -> str | None:
        """Return the arm that it is compared with; None without one."""
        return self.other.arm if self.other else None

    @property
    def ok(self) -> bool:
        """Return whether its cell ran to the end."""
        return self.record.body["status"] == "ok"

    @property
    def prompts(self) -> list[str]:
        """Return the prompts of its samples, as `prompt_of` returns them, sorted."""
        return sorted({prompt_of(sample) for sample in self.candidate.samples})


def trials(inputs: Inputs) -> list[Trial]:
    """Return the records of experiments of this kind at batch one; larger batches belong to other tables.

    Where an arm runs on one workload in several shapes, the trials of that workload are named by shape too, so that no
    row mixes them.
    """
    kinds = inputs.study("kinds")
    read = [
        _trial(record)
        for record in inputs.records
        if kind_of(record.body["cell"], kinds) == EXPERIMENT and record.body["cell"]["batch"] == 1
    ]
    shapes: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for trial in read:
        shapes[trial.task, trial.candidate.arm].append(trial.candidate.cell)
    varying: dict[str, set[str]] = defaultdict(set)
    for (task, _), cells in shapes.items():
        varying[task].update(key for key in SHAPE if len({cell.get(key) for cell in cells}) > 1)
    return [replace(trial, task=_shaped(trial, varying[trial.task])) for trial in read]


def _shaped(trial: Trial, varying: set[str]) -> str:
    """Return the name of a trial's workload, with the parts of its shape that vary there."""
    words = [f"{words} {trial.candidate.cell.get(key)}" for key, words in SHAPE.items() if key in varying]
    return f"{trial.task} ({', '.join(words)})" if words else trial.task


def _trial(record: Source) -> Trial:
    body, cell = record.body, record.body["cell"]
    candidate = _side(cell, body["samples"], body.get("outputs"))
    reference = body.get("reference")
    other = _side(reference["cell"], reference["samples"], reference.get("outputs")) if reference else None
    return Trial(record, task_of(cell), cell.get("run") or 1, bool(cell.get("tuning")), candidate, other)


def _side(cell: dict[str, Any], samples: list[Sample], outputs: list[dict] | None) -> Side:
    useful = {prompt_of(sample): sample["useful"] for sample in samples}
    by_prompt = {str(output["prompt"]): output for output in outputs or ()}
    return Side(
        cell["arm"],
        cell,
        samples,
        {prompt: tuple(output["tokens"][: useful.get(prompt)]) for prompt, output in by_prompt.items()},
        {prompt: output["margins"] for prompt, output in by_prompt.items() if output.get("margins")},
        {p: output["behind_ulp"] for p, output in by_prompt.items() if output.get("behind_ulp") is not None},
        {p: output["entropy"] for p, output in by_prompt.items() if output.get("entropy") is not None},
    )


def prompt_of(sample: Sample) -> str:
    """Return the ids of a sample's prompts, joined by spaces."""
    return " ".join(map(str, sample["prompts"]))


def cycles(sample: Sample) -> list[dict[str, Any]]:
    """Return the cycles of a sample; [] for a decoder without cycles."""
    return sample.get("cycles") or []


def taus(samples: Iterable[Sample]) -> list[float]:
    """Return the committed tokens of each cycle, bonus token included, over all samples."""
    return [cycle["tau"] for sample in samples for cycle in cycles(sample)]


def tau(samples: list[Sample]) -> float | None:
    """Return tokens over verifications."""
    lengths = taus(samples)
    return sum(lengths) / len(lengths) if lengths else None


def depth(cycle: dict[str, Any]) -> int | None:
    """Return the tokens on a proposal's longest path: the block's size without its anchor, or the number drafted."""
    if cycle.get("block") is not None:
        return max(int(cycle["block"]) - 1, 0)
    return None if cycle.get("drafted") is None else int(cycle["drafted"])


def nodes(cycle: dict[str, Any]) -> float | None:
    """Return the number of tokens in the target's pass, the anchor included."""
    return cycle.get("verified", cycle.get("nodes"))


def impossible(cycle: dict[str, Any]) -> bool:
    """Return whether more tokens were committed than proposed plus the target's one, which implies leaked tokens."""
    reach = depth(cycle)
    return reach is not None and cycle["tau"] > reach + 1


def undrafted(cycle: dict[str, Any]) -> bool:
    """Return whether nothing was proposed, so that the cycle was a sequential step."""
    return cycle.get("drafted") == 0 or (cycle.get("drafted") is None and depth(cycle) == 0)


def timed_cycles(sample: Sample) -> Iterator[dict[str, float]]:
    """Yield milliseconds of each cycle: in total, in the draft, in the target, and the remainder (the loop)."""
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
            "named_ms": sum(phases.values()),
        }
        end = cycle["at_ms"]


@dataclass
class Greedy:
    """Sequential outputs of one target on one canvas, by prompt.

    reach: largest distance of their tokens behind the best of a plain pass, in units in the last place.
    """

    tokens: dict[str, tuple[int, ...]] = field(default_factory=dict)
    reach: float = 0.0


def greedy_outputs(of: Iterable[Trial]) -> dict[tuple, Greedy]:
    """Return the target's greedy outputs by target and shape (see `_shape`), from every sequential arm in `of`."""
    known: dict[tuple, Greedy] = {}
    for trial in of:
        for side in filter(None, (trial.candidate, trial.other)):
            if side.cell["decoder"] == SEQUENTIAL and not side.sampled:
                target = known.setdefault(_shape(trial, side), Greedy())
                target.tokens = {**side.outputs, **target.tokens}
                target.reach = max(target.reach, *side.behind.values(), 0.0)
    return known


def held(trial: Trial, prompt: str, greedy: dict[tuple, Greedy]) -> dict[str, Any]:
    """Return a prompt's columns; empty if outputs are drawn, or no sequential arm wrote any.

    lossless. parts_at, margin: the first position that differs from the target's tokens, and the nats between the two
    best logits there. behind: distance of the worst token behind the best.
    """
    target = greedy.get(_shape(trial, trial.candidate))
    tokens = trial.candidate.outputs.get(prompt)
    right = target.tokens.get(prompt) if target else None
    if trial.candidate.sampled or tokens is None or right is None:
        return {}
    behind = trial.candidate.behind.get(prompt)
    at = parting(tokens, right)
    if at is None:
        return {"lossless": True, "behind": behind}
    margins = trial.candidate.margins.get(prompt) or []
    return {
        "lossless": faithful(tokens, right, trial.candidate.cell.get("precision"), behind, target.reach),
        "parts_at": at,
        "margin": margins[at] if at < len(margins) else None,
        "behind": behind,
    }


def _shape(trial: Trial, side: Side) -> tuple:
    cut = side.cell.get("prompt_tokens"), bool(side.cell.get("random_prompts"))
    return trial.task, side.cell["model"], side.cell["new_tokens"], side.cell.get("precision"), *cut
