"""Table `draft`: one row per arm and workload of the `draft` experiment, and one per arm over all workloads."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, Column, count, flag, measured, number, size, text
from pardec.evidence.drafting import Trial
from pardec.evidence.ideas import Ideas
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, clean, flags, interval, tpot_ms

statistics = lazy("pardec.evidence.statistics")
verdicts = lazy("pardec.evidence.verdicts")

ALL = "all workloads"
Row = dict[str, Any]


def build(inputs: Inputs) -> list[Row]:
    trials = [trial for trial in drafting.trials(inputs) if not trial.tuning]
    prompts = [row for row in inputs.rows("draft_prompts") if not row["tuning"]]
    by_arm: dict[str, dict[str, list[Trial]]] = defaultdict(lambda: defaultdict(list))
    for trial in trials:
        by_arm[trial.own.arm][trial.task].append(trial)
    rows = []
    for arm, tasks in sorted(by_arm.items()):
        of_arm = [row for row in prompts if row["arm"] == arm]
        rows += [
            _row(arm, task, of_task, [row for row in of_arm if row["task"] == task], inputs.ideas)
            for task, of_task in sorted(tasks.items())
        ]
        if len(tasks) > 1:
            every = [trial for of_task in tasks.values() for trial in of_task]
            rows.append(
                {**_what(arm, ALL, every), **compared(of_arm, every, inputs.ideas), **_sources(every)}
            )
    return [{**row, "baseline": row["arm"] == inputs.ideas.baseline} for row in rows]


def _row(arm: str, task: str, trials: list[Trial], prompts: list[Row], ideas: Ideas) -> Row:
    good = [trial for trial in trials if trial.ok]
    row = {**_what(arm, task, trials), **_sources(trials)}
    if not good:
        return row
    samples = [sample for trial in good for sample in clean(trial.own.samples)]
    return {**row, **compared(prompts, good, ideas), **_times(samples), **_cycles(samples)}


def _what(arm: str, task: str, trials: list[Trial]) -> Row:
    cell = trials[0].own.cell
    bad = [trial for trial in trials if not trial.ok]
    return {
        "arm": arm,
        "task": task,
        "model": cell["model"] if task != ALL else None,
        "decoder": cell["decoder"],
        "drafts": trials[0].own.drafts,
        "status": bad[0].record.body["status"] if bad else "ok",
        "reason": bad[0].record.body.get("reason") if bad else None,
        "runs": len({trial.run for trial in trials}),
        "cells": len(trials),
        "new_tokens": cell["new_tokens"],
        "flags": flags([sample for trial in trials for sample in trial.own.samples]),
    }


def _sources(trials: list[Trial]) -> Row:
    records = sorted({(trial.record.path, trial.record.sha256) for trial in trials})
    return {
        "record": " ".join(path for path, _ in records),
        "record_sha256": " ".join(sha for _, sha in records),
    }


def compared(prompts: list[Row], trials: list[Trial], ideas: Ideas) -> Row:
    """Returns ratios, tau and losslessness over prompts."""
    baseline = ideas.sampled if trials[0].own.sampled else ideas.baseline
    known = [row["lossless"] for row in prompts if row["lossless"] is not None]
    cycles = sum(row["cycles"] for row in prompts)
    taus = {(row["task"], row["prompt"]): row["tau"] for row in prompts if row["tau"] is not None}
    undrafted = sum(row["undrafted"] for row in prompts) / cycles if cycles else None
    row: Row = {
        "prompts": len({(row["task"], row["prompt"]) for row in prompts}),
        "lossless": sum(known) / len(known) if known else None,
        "lossless_n": len(known) or None,
        **_parted(prompts),
        "cycles": cycles or None,
        "undrafted_share": undrafted,
        "fell_back": _fell_back(trials[0], undrafted),
        "impossible": sum(row["impossible"] for row in prompts),
    }
    if cycles:
        row |= interval("tau", _pooled(prompts))
        row |= interval("tau_mean", statistics.mean(list(taus.values())))
    for name, against in (("ratio_ar", ideas.reference), ("ratio", baseline)):
        effect = verdicts.effect(ratios(prompts, against))
        if effect is not None:
            row |= interval(name, effect.pooled)
            row[f"{name}_prompts"] = effect.pooled.n
    return row


def _parted(prompts: list[Row]) -> Row:
    """Returns where tokens first differ from the target's greedy tokens, and the margin there."""
    parted = [row for row in prompts if row["parts_at"] is not None]
    margins = [row["margin"] for row in parted if row["margin"] is not None]
    behind = [row["behind"] for row in prompts if row["behind"] is not None]
    held = any(row["lossless"] is not None for row in prompts)
    return {
        "parted": len(parted) if held else None,
        "parts_at": min((row["parts_at"] for row in parted), default=None),
        "margin": max(margins, default=None),
        "behind": max(behind, default=None),
    }


def _pooled(prompts: list[Row]) -> Any:
    """Returns tokens over cycles, pooled over prompts; runs of a prompt do not count as further prompts."""
    sums: dict[tuple, list[float]] = defaultdict(lambda: [0.0, 0.0])
    for row in prompts:
        if row["cycles"]:
            both = sums[row["task"], row["prompt"]]
            both[0] += row["tau"] * row["cycles"]
            both[1] += row["cycles"]
    tokens, cycles = zip(*sums.values(), strict=True)
    return statistics.ratio_of_sums(tokens, cycles)


def _fell_back(trial: Trial, undrafted: float | None) -> bool | None:
    """Returns whether a speculative arm mostly did not draft; None for other arms."""
    if not trial.own.drafts:
        return None
    return undrafted is None or undrafted > verdicts.MOST_UNDRAFTED


def ratios(prompts: Iterable[Row], against: str, column: str = "ratio") -> list[Any]:
    return [
        verdicts.Ratio(row["task"], row["prompt"], row["run"], row[column])
        for row in prompts
        if row["against"] == against and row[column] is not None
    ]


def _times(samples: list[Sample]) -> Row:
    e2e = [sample["e2e_ms"] for sample in samples]
    first = [sample["first_ms"] for sample in samples if sample.get("first_ms") is not None]
    decode = [s["e2e_ms"] - s["first_ms"] for s in samples if s.get("first_ms") is not None]
    cpu = [sample["cpu_ms"] for sample in samples if sample.get("cpu_ms") is not None]
    draft = [next(drafting.timed_cycles(sample))["cycle_ms"] for sample in samples if drafting.cycles(sample)]
    return {
        "n": len(samples),
        **interval("tpot_ms", statistics.median([tpot_ms(s) for s in samples]), "tpot"),
        **interval("latency_ms", statistics.median(e2e), "latency"),
        "ttft_ms": _middle(first),
        "first_draft_ms": _middle(draft),
        "decode_ms": _middle(decode),
        "cpu_ms": _middle(cpu),
    }


def _middle(values: list[float]) -> float | None:
    return statistics.percentile(values, 50)


def _cycles(samples: list[Sample]) -> Row:
    """Returns means over all cycles, and the shares of their time."""
    cycles = [cycle for sample in samples for cycle in drafting.cycles(sample)]
    if not cycles:
        return {}
    times = [part for sample in samples for part in drafting.timed_cycles(sample)]
    whole = sum(part["cycle_ms"] for part in times)
    row: Row = {name: _mean([cycle.get(name) for cycle in cycles]) for name in ("block", "seeded", "passes")}
    row["nodes"] = _mean([drafting.nodes(cycle) for cycle in cycles])
    offered = [
        (c["accepted"], c["drafted"]) for c in cycles if c.get("accepted") is not None and c.get("drafted")
    ]
    if offered:
        row["accepted_share"] = sum(a for a, _ in offered) / sum(d for _, d in offered)
    row |= {
        f"{name}_ms": _middle([part[f"{name}_ms"] for part in times]) for name in ("cycle", "draft", "verify")
    }
    if whole > 0:
        shares = {
            name: sum(part[f"{name}_ms"] for part in times) / whole for name in ("draft", "verify", "other")
        }
        row |= {
            "draft_share": shares["draft"],
            "verify_share": shares["verify"],
            "overhead_share": shares["other"],
        }
        row["accounted_share"] = sum(part["told_ms"] for part in times) / whole
    return row


def _mean(values: list[Any]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


COLUMNS: dict[str, Column] = {
    "arm": text("the study's name for decoder and settings", nullable=False),
    "baseline": flag("whether ideas are held against it unless they name another arm"),
    "task": text("what is generated; `all workloads` for the arm as a whole", nullable=False),
    "model": text("the target"),
    "decoder": text("how tokens are written", nullable=False),
    "drafts": flag("whether the decoder claims to draft"),
    "status": text("ok, or how the first of its cells that failed ended", nullable=False),
    "reason": text("why it is not ok"),
    "runs": count("separate runs"),
    "cells": count("records behind the row", "cells"),
    "new_tokens": count("length of the output canvas", "tokens"),
    "n": count("samples behind the times", "samples"),
    "prompts": size("different prompts", "prompts"),
    **measured("ratio_ar", "×", "throughput over the sequential arm's: geometric mean over prompts of paired ratios",
               count="ratio_ar_prompts", better="higher"),
    "ratio_ar_prompts": size("prompts behind it", "prompts"),
    **measured("ratio", "×", "the same over the baseline draft's, one chain of a fixed block",
                     count="ratio_prompts", better="higher"),
    "ratio_prompts": size("prompts behind it", "prompts"),
    **measured("tau", "tokens",
               "tokens committed over verifications, all cycles together, the target's own included",
                     count="prompts", better="higher"),
    **measured("tau_mean", "tokens", "the same prompt by prompt, mean over prompts", count="prompts",
                     better="higher"),
    "cycles": count("cycles counted", "cycles", kind="count"),
    "lossless": number("", "share of prompts whose tokens are those of the target's greedy decoding, "
                     "up to rounding in "
                       "a format shorter than float32", "lossless_n", kind="quality", better="higher"),
    "lossless_n": size("prompts and runs so compared", "prompts"),
    "parted": count("prompts and runs whose tokens part from the greedy decoding's", "prompts", kind="quality",
                     better="lower"),
    "parts_at": count("earliest place of a token that is not the greedy decoding's", "tokens", kind="count"),
    "margin": number("nats", "at such a first difference the target's best logit over its second, "
                     "the largest; told in "
                     "formats shorter than float32", "parted", kind="count"),
    "behind": number("ulp", "the best logit over that of the worst token written, in units in the last place, the "
                     "largest; as told", "lossless_n", kind="count"),
    **measured("latency_ms", "ms", "end to end time, median", stem="latency"),
    **measured("tpot_ms", "ms", "time per output token behind the first, median", stem="tpot", label="TPOT"),
    "ttft_ms": number("ms", "time to the first token, which is the target's own, median", "n"),
    "first_draft_ms": number("ms", "time of the first cycle behind it, median", "n"),
    "decode_ms": number("ms", "time behind the first token, median", "n"),
    "cpu_ms": number("ms", "CPU time of the process for one generation, median", "n"),
    "block": number("tokens", "mean block of a cycle, the anchor included", "cycles"),
    "nodes": number("tokens", "mean tokens in the target's passes of a cycle, the anchor included", "cycles"),
    "passes": number("passes", "mean passes of the target in a cycle", "cycles"),
    "seeded": number("tokens", "mean recycled tokens given to the draft in a cycle", "cycles"),
    "accepted_share": number("", "drafted tokens accepted / drafted", "cycles", kind="count", better="higher"),
    "cycle_ms": number("ms", "time of a cycle, median", "cycles"),
    "draft_ms": number("ms", "of it in the draft, median", "cycles"),
    "verify_ms": number("ms", "of it in the target, median", "cycles"),
    "draft_share": number("", "share of all cycle time in the draft", "cycles", kind="share"),
    "verify_share": number("", "share in the target", "cycles", kind="share"),
    "overhead_share": number("", "share in neither: the loop itself", "cycles", kind="share"),
    "accounted_share": number("", "share of cycle time that lies in a named phase", "cycles", kind="share",
                     better="higher"),
    "undrafted_share": number("", "share of cycles that proposed nothing", "cycles", kind="count", better="lower"),
    "fell_back": flag("whether an arm that claims to draft proposed nothing in most of its cycles"),
    "impossible": count("cycles that committed more than they proposed and the target's one", "cycles", kind="count"),
    "flags": text("what the machine's state raised, with counts"),
    **SOURCES,
}  # fmt: skip

TABLE = Table(
    name="draft",
    description="One row a drafting arm and workload, and one over all: speed in pairs, tau, losslessness, and where a "
    "cycle's time goes.",
    needs=("ideas_file", "records", "floors", "draft_prompts"),
    key=("arm", "task"),
    columns=COLUMNS,
    build=build,
)
