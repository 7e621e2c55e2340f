"""Table `draft_prompts`: every drafting cell by prompt, the evidence for verdicts on ideas."""

from __future__ import annotations

import math
from typing import Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, count, flag, number, text
from pardec.evidence.drafting import Side, Trial
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, pair

np = lazy("numpy")


def build(inputs: Inputs) -> list[dict[str, Any]]:
    trials = [trial for trial in drafting.trials(inputs) if trial.ok]
    greedy = drafting.greedy_outputs(trials)
    try:
        return [row for trial in trials for row in _rows(trial, greedy)]
    except (TypeError, ValueError, KeyError) as error:
        raise UserError(
            f"experiment {drafting.EXPERIMENT}", f"has a damaged record ({error!r})", "run `make all` again"
        ) from None


def _rows(trial: Trial, greedy: dict[tuple, drafting.Greedy]) -> list[dict[str, Any]]:
    rates = _ratios(trial)
    rows = []
    for prompt in trial.prompts:
        samples = trial.own.of(prompt)
        cycles = [cycle for sample in samples for cycle in drafting.cycles(sample)]
        rows.append(
            {
                "cell": trial.record.body["cell"]["id"],
                "task": trial.task,
                "arm": trial.own.arm,
                "against": trial.against,
                "run": trial.run,
                "tuning": trial.tuning,
                "prompt": prompt,
                "visits": len(samples),
                "tokens": samples[0]["useful"],
                "ratio": rates.get(prompt),
                "tau": drafting.tau(samples),
                "cycles": len(cycles),
                **drafting.held(trial, prompt, greedy),
                **_beside(trial, prompt),
                "impossible": sum(map(drafting.impossible, cycles)),
                "undrafted": sum(map(drafting.undrafted, cycles)),
                "record": trial.record.path,
                "record_sha256": trial.record.sha256,
            }
        )
    return rows


def _beside(trial: Trial, prompt: str) -> dict[str, Any]:
    """Returns the columns of the same prompt's reference in the same process."""
    if trial.other is None:
        return {}
    other = trial.other.of(prompt)
    return {
        "reference_tau": drafting.tau(other),
        "same_tokens": _same(trial.own.outputs.get(prompt), trial.other.outputs.get(prompt)),
        "same_taus": _traces(trial.own, prompt) == _traces(trial.other, prompt),
    }


def _same(tokens: tuple[int, ...] | None, other: tuple[int, ...] | None) -> bool | None:
    return None if tokens is None or other is None else tokens == other


def _traces(side: Side, prompt: str) -> list[tuple[float, ...]]:
    """Returns the distinct sequences of taus over visits."""
    return sorted({tuple(drafting.taus([sample])) for sample in side.of(prompt)})


def _ratios(trial: Trial) -> dict[str, float]:
    """Returns by prompt the throughput ratio to the reference: the median over paired visits, in logarithms."""
    if trial.other is None:
        return {}
    pairs = pair(trial.own.samples, trial.other.samples)
    logs: dict[str, list[float]] = {}
    for sample, other in zip(pairs.cell, pairs.reference, strict=True):
        if sample["useful"] > 0 and other["useful"] > 0:
            ratio = math.log(_rate(sample)) - math.log(_rate(other))
            logs.setdefault(drafting.prompt_of(sample), []).append(ratio)
    return {prompt: math.exp(float(np.median(ratios))) for prompt, ratios in logs.items()}


def _rate(sample: Sample) -> float:
    return sample["useful"] / sample["e2e_ms"]


TABLE = Table(
    name="draft_prompts",
    description="One row a drafting cell and prompt: throughput ratio to the reference of its process, tau, and "
    "whether tokens and taus are the same.",
    needs=("records", "floors"),
    key=("cell", "prompt"),
    columns={
        "cell": text("the cell's id", nullable=False),
        "task": text("what is generated", nullable=False),
        "arm": text("the study's name for decoder and settings", nullable=False),
        "against": text("the arm it is paired with; empty where it stands alone"),
        "run": count("which separate run"),
        "tuning": flag("whether the prompt is one that settings are chosen on"),
        "prompt": text("id of the prompt", nullable=False),
        "visits": count("timed generations", "samples"),
        "tokens": count("useful tokens", "tokens", kind="count"),
        "ratio": number(
            "×", "useful tokens/s over the reference's: median over paired visits", better="higher"
        ),
        "tau": number("tokens", "tokens committed a verification"),
        "reference_tau": number("tokens", "the reference's"),
        "cycles": count("cycles, all visits together", kind="count"),
        "lossless": flag(
            "whether its tokens are those of the target's greedy decoding, up to rounding in a format "
            "shorter than float32"
        ),
        "parts_at": count("place of its first token that is not the greedy decoding's", "tokens"),
        "margin": number(
            "nats", "the target's best logit over its second there; told in shorter formats", kind="count"
        ),
        "behind": number(
            "ulp",
            "the best logit over that of its worst token, in units in the last place; as told",
            kind="count",
        ),
        "same_tokens": flag("whether its tokens are the reference's"),
        "same_taus": flag("whether each cycle committed as many tokens as the reference's"),
        "impossible": count("cycles that committed more than they proposed and the target's one"),
        "undrafted": count("cycles that proposed nothing"),
        **SOURCES,
    },
    build=build,
    published=False,
)
