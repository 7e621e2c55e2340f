"""Estimate a study's hours, memory and disk on a card, from the roofline, before anything runs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pardec.decoding.base import Passes
from pardec.decoding.registry import DECODERS
from pardec.measure.roofline import RESERVED_BYTES, SIZES, Card, generation_s, memory_bytes
from pardec.models.architectures.config import ModelInfo
from pardec.models.checkpoints.sizes import info_of_model, quantised_info
from pardec.quality.generate import BATCH

if TYPE_CHECKING:
    from pardec.study.cells import Cell
    from pardec.study.plan import Plan

STARTED_S = 15.0
"""Seconds until a cell's process has loaded libraries and device."""
READ_BYTES_S = 2e9
"""Bytes per second for reading weights from a local disk onto the card."""
GUESSED_PROMPT = 128
"""Assumed tokens of prompts that are neither cut nor joined."""


@dataclass(frozen=True)
class CellEstimate:
    """Estimate of a cell. seconds: of the job, for both arms. memory: peak bytes, with the weights of both arms.
    unknown: why there is no estimate, or empty."""

    id: str
    experiment: str
    batch: int
    seconds: float = 0.0
    memory: float = 0.0
    unknown: str = ""


@dataclass(frozen=True)
class ModelEstimate:
    """Estimate of a model. download: bytes from the hub. weights: bytes on the card in the study's precision."""

    name: str
    source: str
    parameters: int | None
    weights: float | None
    download: float | None


def estimate_models(plan: Plan) -> list[ModelEstimate]:
    """Return an estimate of every model that the study uses."""
    size, known, sizes = SIZES[plan.study.precision], _facts(plan), []
    fetched: set[tuple[str, str]] = set()
    for name in plan.models:
        settings = plan.study.models[name]
        facts = known[name]
        if facts is None:
            sizes.append(ModelEstimate(name, settings.source, None, None, None))
            continue
        # Published checkpoints of this size are stored in 16 bits.
        download = 0.0
        if settings.source == "hub" and (commit := (settings.repo, settings.revision)) not in fetched:
            fetched.add(commit)
            download = 2.0 * facts.parameters
        sizes.append(
            ModelEstimate(name, settings.source, facts.parameters, facts.weight_bytes(size), download)
        )
    return sizes


def _facts(plan: Plan) -> dict[str, ModelInfo | None]:
    """Return the facts of every model, quantised if the study asks for it."""
    size, by_model = SIZES[plan.study.precision], {}
    for name in plan.models:
        settings = plan.study.models[name]
        facts, how = info_of_model(plan.study.models, name), getattr(settings, "quantise", None)
        by_model[name] = quantised_info(facts, how, size) if facts is not None and how else facts
    return by_model


def estimate_cells(plan: Plan, card: Card) -> list[CellEstimate]:
    """Return every cell's time and memory on `card`."""
    facts = _facts(plan)
    return [_cell(plan, card, facts, id, cell) for id, cell in plan.cells.items()]


@dataclass(frozen=True)
class QualityEstimate:
    """Estimate of one rule's untimed jobs that run models. seconds: of all jobs. memory: peak bytes of the largest.
    unknown: number of jobs without an estimate."""

    rule: str
    jobs: int
    seconds: float
    memory: float
    unknown: int


def estimate_quality(plan: Plan, card: Card) -> list[QualityEstimate]:
    """Return time and memory on `card` for writing outputs, scoring them by a model, and likelihoods.

    Batch sizes are those of the scripts. Answers in likelihoods are assumed to be as long as assumed prompts.
    """
    facts, size = _facts(plan), SIZES[plan.study.precision]
    jobs: dict[str, list[tuple[float, float] | None]] = {"generate_outputs": [], "score_cell": []}
    for cell in plan.outputs.values():
        work = plan.study.workloads[cell.workload]
        batches = -(-work.prompts // BATCH)
        once = _generation(card, facts, cell, BATCH)
        weights = _weights(facts, cell.models, SIZES[cell.precision])
        jobs["generate_outputs"].append(once and _job(weights, batches * once[0], once[1]))
        if work.scorer:
            read = (cell.prompt_tokens or GUESSED_PROMPT, cell.new_tokens)
            jobs["score_cell"].append(_scored(card, facts[work.scorer], size, batches, *read))
    if asked := plan.study.likelihood:
        read = (GUESSED_PROMPT, GUESSED_PROMPT)
        jobs["measure_likelihood"] = []
        for name in plan.likelihood_models:
            model = facts[name]
            draws = asked.prompts * (1 if model is None or model.attention == "causal" else asked.samples)
            jobs["measure_likelihood"].append(_scored(card, model, size, -(-draws // BATCH), *read))
    return [_together(rule, each) for rule, each in jobs.items() if each]


def _scored(
    card: Card, facts: ModelInfo | None, size: int, batches: int, prompt: int, answer: int
) -> tuple[float, float] | None:
    """Return seconds and bytes for reading `batches` of prompts with answers in one pass each, or None."""
    if facts is None:
        return None
    passes = [Passes(1, prompt + answer, 0, answer, False)]
    # Losses are computed in float32, from a copy of the logits.
    copied = BATCH * answer * facts.vocab_size * 4
    extra = memory_bytes(facts, BATCH, passes, size) + copied
    return _job(facts.weight_bytes(size), batches * generation_s(card, facts, BATCH, passes, size), extra)


def _weights(facts: dict[str, ModelInfo | None], names: Iterable[str], size: int) -> float:
    """Return bytes of the weights of the models whose shape is known."""
    return sum(float(known.weight_bytes(size)) for name in names if (known := facts[name]))


def _job(weights: float, seconds: float, extra: float) -> tuple[float, float]:
    return STARTED_S + weights / READ_BYTES_S + seconds, weights + extra + RESERVED_BYTES


def _together(rule: str, jobs: list[tuple[float, float] | None]) -> QualityEstimate:
    known = [job for job in jobs if job is not None]
    seconds, memory = sum(job[0] for job in known), max((job[1] for job in known), default=0.0)
    return QualityEstimate(rule, len(jobs), seconds, memory, len(jobs) - len(known))


def _cell(plan: Plan, card: Card, facts: dict[str, ModelInfo | None], id: str, cell: Cell) -> CellEstimate:
    sides = [cell, *([cell.reference] if cell.reference else [])]
    runs = [_generation(card, facts, side, side.batch) for side in sides]
    names = dict.fromkeys(name for side in sides for name in side.models)
    known = [run for run in runs if run is not None]
    if len(known) < len(runs):
        why = (
            "the text decides its passes"
            if all(facts[name] for name in names)
            else "a model of unknown shape"
        )
        return CellEstimate(id, cell.experiment, cell.batch, unknown=why)
    size = SIZES[cell.precision]
    # Each side loads its models separately, even if both run the same one.
    weights = sum(_weights(facts, side.models, size) for side in sides)
    once = sum(seconds for seconds, _ in known)
    rule = cell.measure or plan.study.measure
    samples = max(rule.min_samples, min(rule.max_samples, int(rule.budget_s / max(once, 1e-9))))
    seconds = STARTED_S + weights / READ_BYTES_S + (rule.warmup_passes + samples) * once
    memory = weights + max(extra for _, extra in known) + RESERVED_BYTES
    return CellEstimate(id, cell.experiment, cell.batch, min(seconds, rule.timeout_s), memory)


def _generation(
    card: Card, facts: dict[str, ModelInfo | None], cell: Cell, rows: int
) -> tuple[float, float] | None:
    """Return seconds and bytes beyond the weights for one generation of `rows` prompts, or None."""
    decoder = DECODERS.load(cell.decoder)
    settings = decoder.Settings.model_validate(cell.settings)
    passes = decoder.passes(settings, cell.prompt_tokens or GUESSED_PROMPT, cell.new_tokens)
    known = facts[cell.model]
    if passes is None or known is None:
        return None
    size = SIZES[cell.precision]
    return generation_s(card, known, rows, passes, size), memory_bytes(known, rows, passes, size)
