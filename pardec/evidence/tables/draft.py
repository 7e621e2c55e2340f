"""Tables `draft_prompts` and `draft`: drafting cells by prompt, and by arm and workload."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.drafting import Side, Trial
from pardec.evidence.ideas import Ideas
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import Inputs, joined
from pardec.evidence.tables.pairs import Sample, clean, flags, interval, pair, tpot_ms

np = lazy("numpy")
statistics = lazy("pardec.evidence.statistics")
verdicts = lazy("pardec.evidence.verdicts")

ALL = "all workloads"


def _draft_prompts(inputs: Inputs) -> list[Row]:
    trials = [trial for trial in drafting.trials(inputs) if trial.ok]
    greedy = drafting.greedy_outputs(trials)
    try:
        return [row for trial in trials for row in _prompts(trial, greedy)]
    except (TypeError, ValueError, KeyError) as error:
        message = f"has a damaged record ({error!r})"
        raise UserError(f"experiment {drafting.EXPERIMENT}", message, "run `make all` again") from None


def _prompts(trial: Trial, greedy: dict[tuple, drafting.Greedy]) -> list[Row]:
    rates = _ratios(trial)
    rows = []
    for prompt in trial.prompts:
        samples = trial.candidate.of(prompt)
        cycles = [cycle for sample in samples for cycle in drafting.cycles(sample)]
        rows.append(
            {
                "cell": trial.record.body["cell"]["id"],
                "task": trial.task,
                "arm": trial.candidate.arm,
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
                **(_beside(trial.candidate, trial.other, prompt) if trial.other else {}),
                "impossible": sum(map(drafting.impossible, cycles)),
                "undrafted": sum(map(drafting.undrafted, cycles)),
                **trial.record.origin,
            }
        )
    return rows


def _beside(candidate: Side, other: Side, prompt: str) -> Row:
    """Return the columns of the same prompt's reference in the same process."""
    outputs = [side.outputs.get(prompt) for side in (candidate, other)]
    # The distinct sequences of taus over visits.
    traces = [{tuple(drafting.taus([sample])) for sample in side.of(prompt)} for side in (candidate, other)]
    return {
        "reference_tau": drafting.tau(other.of(prompt)),
        "same_tokens": None if None in outputs else outputs[0] == outputs[1],
        "same_taus": traces[0] == traces[1],
    }


def _ratios(trial: Trial) -> dict[str, float]:
    """Return by prompt the throughput ratio to the reference: the median over paired visits, in logarithms."""
    if trial.other is None:
        return {}
    pairs = pair(trial.candidate.samples, trial.other.samples)
    logs: dict[str, list[float]] = defaultdict(list)
    for candidate, other in zip(pairs.cell, pairs.reference, strict=True):
        if candidate["useful"] > 0 and other["useful"] > 0:
            rates = [math.log(sample["useful"] / sample["e2e_ms"]) for sample in (candidate, other)]
            logs[drafting.prompt_of(candidate)].append(rates[0] - rates[1])
    return {prompt: math.exp(float(np.median(ratios))) for prompt, ratios in logs.items()}


DRAFT_PROMPTS = Table(
    name="draft_prompts",
    description="One row per drafting cell and prompt: throughput ratio to the reference of its process, tau, and "
    "whether tokens and taus are the same.",
    needs=("records", "floors"),
    key=("cell", "prompt"),
    columns=columns("""
cell           text! | the cell's id
task           text! | what is generated
arm            text! | the study's name for decoder and settings
against        text | the arm it is paired with; empty without one
run            count | which separate run
tuning         flag | whether the prompt is one on which settings are chosen
prompt         text! | id of the prompt
visits         size samples | timed generations
tokens         count tokens kind=count | useful tokens
ratio          number × better=higher | useful tokens/s over the reference's: median over paired visits
tau            number tokens | tokens committed per verification
reference_tau  number tokens | the reference's
cycles         count kind=count | cycles, all visits together
lossless       flag | whether its tokens are those of the target's greedy decoding, up to rounding in a format shorter
    than float32
parts_at       count tokens | position of its first token that differs from the greedy decoding's
margin         number nats kind=count | the target's best logit over its second there; recorded in formats
    shorter than float32
behind         number ulp kind=count | the best logit over that of its worst token, in units in the last place
same_tokens    flag | whether its tokens are the reference's
same_taus      flag | whether each cycle committed as many tokens as the reference's
impossible     count | cycles that committed more than they proposed and the target's one
undrafted      count | cycles that proposed nothing
""")
    | SOURCES,
    build=_draft_prompts,
    published=False,
)


def _draft(inputs: Inputs) -> list[Row]:
    groups: dict[tuple[str, bool, str], list[Trial]] = defaultdict(list)
    tasks: dict[str, set[str]] = defaultdict(set)
    trials = [trial for trial in drafting.trials(inputs) if not trial.tuning]
    for trial in trials:
        tasks[trial.candidate.arm].add(trial.task)
    for trial in trials:
        groups[trial.candidate.arm, False, trial.task].append(trial)
        if len(tasks[trial.candidate.arm]) > 1:
            groups[trial.candidate.arm, True, ALL].append(trial)
    prompts: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in inputs.rows("draft_prompts"):
        if not row["tuning"]:
            prompts[row["arm"], row["task"]].append(row)
            prompts[row["arm"], ALL].append(row)
    return [
        _row(arm, task, these, prompts[arm, task], inputs.ideas)
        for (arm, _, task), these in sorted(groups.items())
    ]


def _row(arm: str, task: str, trials: list[Trial], prompts: list[Row], ideas: Ideas) -> Row:
    cell = trials[0].candidate.cell
    good = [trial for trial in trials if trial.ok]
    bad = next((trial.record.body for trial in trials if not trial.ok), {"status": "ok"})
    origins = sorted((trial.record.origin for trial in trials), key=lambda origin: origin["record"])
    row = {
        "arm": arm,
        "baseline": arm == ideas.baseline,
        "task": task,
        "model": cell["model"] if task != ALL else None,
        "decoder": cell["decoder"],
        "drafts": trials[0].candidate.drafts,
        "status": bad["status"],
        "reason": bad.get("reason"),
        "runs": len({trial.run for trial in trials}),
        "cells": len(trials),
        "new_tokens": cell["new_tokens"],
        "flags": flags([sample for trial in trials for sample in trial.candidate.samples]),
        **joined(origins),
    }
    if good:
        row |= _compared(prompts, good[0].candidate, ideas)
    if good and task != ALL:
        samples = [sample for trial in good for sample in clean(trial.candidate.samples)]
        row |= {**_times(samples), **_cycles(samples)}
    return row


def _compared(prompts: list[Row], side: Side, ideas: Ideas) -> Row:
    """Return ratios, tau and losslessness over prompts."""
    lossless = _known(prompts, "lossless")
    cycles = sum(row["cycles"] for row in prompts)
    undrafted = sum(row["undrafted"] for row in prompts) / cycles if cycles else None
    row: Row = {
        "prompts": len({(row["task"], row["prompt"]) for row in prompts}),
        "lossless": _mean(lossless),
        "lossless_n": len(lossless) or None,
        # Where tokens first differ from the target's greedy tokens, and the margin there.
        "parted": len(_known(prompts, "parts_at")) if lossless else None,
        "parts_at": min(_known(prompts, "parts_at"), default=None),
        "margin": max(_known(prompts, "margin"), default=None),
        "behind": max(_known(prompts, "behind"), default=None),
        "cycles": cycles or None,
        "undrafted_share": undrafted,
        "impossible": sum(row["impossible"] for row in prompts),
    }
    if side.drafts:
        row["fell_back"] = undrafted is None or undrafted > verdicts.MOST_UNDRAFTED
    if cycles:
        # Runs of a prompt do not count as further prompts.
        sums: dict[tuple, Any] = defaultdict(lambda: np.zeros(2))
        taus = {}
        for one in (one for one in prompts if one["cycles"]):
            sums[one["task"], one["prompt"]] += one["tau"] * one["cycles"], one["cycles"]
            taus[one["task"], one["prompt"]] = one["tau"]
        row |= interval("tau", statistics.ratio_of_sums(*zip(*sums.values(), strict=True)))
        row |= interval("tau_mean", statistics.mean(list(taus.values())))
    for name, against in (
        ("ratio_ar", ideas.reference),
        ("ratio", ideas.sampled if side.sampled else ideas.baseline),
    ):
        effect = verdicts.effect(ratios(prompts, against))
        if effect is not None:
            row |= {**interval(name, effect.pooled), f"{name}_prompts": effect.pooled.n}
    return row


def ratios(prompts: Iterable[Row], against: str) -> list[Any]:
    """Return the throughput ratios of rows of `draft_prompts` that are paired with the arm `against`."""
    return [
        verdicts.Ratio(row["task"], row["prompt"], row["run"], row["ratio"])
        for row in prompts
        if row["against"] == against and row["ratio"] is not None
    ]


def _times(samples: list[Sample]) -> Row:
    first = [sample for sample in samples if sample.get("first_ms") is not None]
    draft = [next(drafting.timed_cycles(sample))["cycle_ms"] for sample in samples if drafting.cycles(sample)]
    return {
        "n": len(samples),
        **interval("tpot_ms", statistics.median([tpot_ms(s) for s in samples]), "tpot"),
        **interval("latency_ms", statistics.median([s["e2e_ms"] for s in samples]), "latency"),
        "ttft_ms": _middle([s["first_ms"] for s in first]),
        "first_draft_ms": _middle(draft),
        "decode_ms": _middle([s["e2e_ms"] - s["first_ms"] for s in first]),
        "cpu_ms": _middle(_known(samples, "cpu_ms")),
    }


def _cycles(samples: list[Sample]) -> Row:
    """Return means over all cycles, and the shares of their time."""
    cycles = [cycle for sample in samples for cycle in drafting.cycles(sample)]
    if not cycles:
        return {}
    times = [part for sample in samples for part in drafting.timed_cycles(sample)]
    row: Row = {name: _mean(_known(cycles, name)) for name in ("block", "seeded", "passes")}
    row["nodes"] = _mean([nodes for cycle in cycles if (nodes := drafting.nodes(cycle)) is not None])
    row |= {
        f"{name}_ms": _middle([part[f"{name}_ms"] for part in times]) for name in ("cycle", "draft", "verify")
    }
    whole = sum(part["cycle_ms"] for part in times)
    if whole > 0:
        parts = {"draft": "draft_ms", "verify": "verify_ms", "overhead": "other_ms", "accounted": "named_ms"}
        row |= {f"{name}_share": sum(part[of] for part in times) / whole for name, of in parts.items()}
    return row


def _known(rows: Iterable[Row], name: str) -> list[Any]:
    return [row[name] for row in rows if row.get(name) is not None]


def _middle(values: list[float]) -> float | None:
    return statistics.percentile(values, 50)


def _mean(values: list[Any]) -> float | None:
    return sum(values) / len(values) if values else None


DRAFT = Table(
    name="draft",
    description="One row per drafting arm and workload, and one over all: paired speed, tau, losslessness, and where a "
    "cycle's time goes.",
    needs=("ideas_file", "records", "floors", "draft_prompts"),
    key=("arm", "task"),
    columns=columns("""
arm               text! | the study's name for decoder and settings
baseline          flag | whether ideas are compared with it unless they name another arm
task              text! | what is generated; `all workloads` for the arm as a whole
model             text | the target
decoder           text! | how tokens are written
drafts            flag | whether the decoder claims to draft
status            text! | ok, or how the first of its cells that failed ended
reason            text | why it is not ok
runs              count | separate runs
cells             count cells | records behind the row
new_tokens        count tokens | length of the output canvas
n                 size samples | samples behind the times
prompts           size prompts | different prompts
ratio_ar          interval × of=ratio_ar_prompts better=higher | throughput over the sequential arm's: geometric mean
    over prompts of paired ratios
ratio_ar_prompts  size prompts | prompts behind it
ratio             interval × of=ratio_prompts better=higher | the same over the baseline draft's, one chain of a fixed
    block
ratio_prompts     size prompts | prompts behind it
tau               interval tokens of=prompts better=higher | tokens committed over verifications, all cycles together,
    the target's own included
tau_mean          interval tokens of=prompts better=higher | the same prompt by prompt, mean over prompts
cycles            count cycles kind=count | cycles counted
lossless          number of=lossless_n kind=quality better=higher | share of prompts whose tokens are those of the
    target's greedy decoding, up to rounding in a format shorter than float32
lossless_n        size prompts | prompts and runs so compared
parted            count prompts kind=quality better=lower | prompts and runs whose tokens differ from the
    greedy decoding's
parts_at          count tokens kind=count | earliest position of a token that differs from the greedy decoding's
margin            number nats of=parted kind=count | at such a first difference the target's best logit over its
    second, the largest; recorded in formats shorter than float32
behind            number ulp of=lossless_n kind=count | the best logit over that of the worst token written, in units
    in the last place, the largest
latency_ms        interval ms stem=latency | end to end time, median
tpot_ms           interval ms stem=tpot label=TPOT | time per output token behind the first, median
ttft_ms           number ms of=n | time to the first token, which is the target's own, median
first_draft_ms    number ms of=n | time of the first cycle behind it, median
decode_ms         number ms of=n | time behind the first token, median
cpu_ms            number ms of=n | CPU time of the process for one generation, median
block             number tokens of=cycles | mean block of a cycle, the anchor included
nodes             number tokens of=cycles | mean tokens in the target's passes of a cycle, the anchor included
passes            number passes of=cycles | mean passes of the target in a cycle
seeded            number tokens of=cycles | mean recycled tokens given to the draft in a cycle
cycle_ms          number ms of=cycles | time of a cycle, median
draft_ms          number ms of=cycles | of it in the draft, median
verify_ms         number ms of=cycles | of it in the target, median
draft_share       number of=cycles kind=share | share of all cycle time in the draft
verify_share      number of=cycles kind=share | share in the target
overhead_share    number of=cycles kind=share | share in neither: the loop itself
accounted_share   number of=cycles kind=share better=higher | share of cycle time that lies in a named phase
undrafted_share   number of=cycles kind=count better=lower | share of cycles that proposed nothing
fell_back         flag | whether an arm that claims to draft proposed nothing in most of its cycles
impossible        count cycles kind=count | cycles that committed more than they proposed and the target's one
flags             text | flags for the machine's state, with counts
""")
    | SOURCES,
    build=_draft,
)
