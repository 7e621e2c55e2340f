"""Table `cycle_trace`: every recorded cycle of one run of every drafting arm."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, count, number, text
from pardec.evidence.drafting import Trial
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cycles import once, representative
from pardec.evidence.tables.inputs import Inputs

FACTS = ("tau", "block", "accepted", "drafted", "asked", "seeded", "refined", "passes")
TIMES = ("cycle_ms", "draft_ms", "verify_ms", "other_ms")


def build(inputs: Inputs) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in drafting.trials(inputs):
        if trial.ok and not trial.tuning and any(map(drafting.cycles, trial.own.samples)):
            groups[trial.own.arm, trial.task].append(trial)
    return [row for _, trials in sorted(groups.items()) for row in _cycles(representative(trials))]


def _cycles(trial: Trial) -> list[dict[str, Any]]:
    rows = []
    for sample in once(trial):
        written = sample.get("first_tokens") or 0
        for place, (cycle, times) in enumerate(
            zip(drafting.cycles(sample), drafting.timed_cycles(sample), strict=True)
        ):
            rows.append(
                {
                    "arm": trial.own.arm,
                    "task": trial.task,
                    "prompt": drafting.prompt_of(sample),
                    "cycle": place,
                    "token": round(written),
                    "at_ms": cycle["at_ms"],
                    **{name: cycle.get(name) for name in FACTS},
                    "nodes": drafting.nodes(cycle),
                    **{name: times[name] for name in TIMES},
                    "record": trial.record.path,
                    "record_sha256": trial.record.sha256,
                }
            )
            written += cycle["tau"]
    return rows


TABLE = Table(
    name="cycle_trace",
    description="One row a cycle: the first visit of each prompt, in one run of each drafting arm.",
    needs=("records", "floors"),
    key=("arm", "task", "prompt", "cycle"),
    columns={
        "arm": text("the study's name for decoder and settings", nullable=False),
        "task": text("what is generated", nullable=False),
        "prompt": text("id of the prompt", nullable=False),
        "cycle": count("its place in the generation, from zero"),
        "token": count("tokens written before it", "tokens"),
        "at_ms": number("ms", "its end, from the start of the generation"),
        "tau": number("tokens", "tokens it committed"),
        "block": number("tokens", "block size, the anchor included"),
        "asked": number(
            "tokens", "block that the schedule chose; a cycle near the end of a text is given less"
        ),
        "accepted": number("tokens", "drafted tokens accepted"),
        "drafted": number("tokens", "tokens on the longest path of the proposal"),
        "nodes": number("tokens", "tokens that the target's passes held"),
        "passes": number("passes", "passes of the target"),
        "seeded": number("tokens", "recycled tokens given to the draft"),
        "refined": number("tokens", "tokens drafted again"),
        "cycle_ms": number("ms", "time of the cycle"),
        "draft_ms": number("ms", "of it in the draft"),
        "verify_ms": number("ms", "of it in the target"),
        "other_ms": number("ms", "of it in the loop itself"),
        **SOURCES,
    },
    build=build,
    published=False,
)
