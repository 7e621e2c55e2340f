"""Table `cycles`: by position in the block, the shares of cycles that end and of drafted tokens accepted there."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, count, measured, number, text
from pardec.evidence.drafting import Trial
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs

statistics = lazy("pardec.evidence.statistics")


def build(inputs: Inputs) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], list[Trial]] = defaultdict(list)
    for trial in drafting.trials(inputs):
        if trial.ok and not trial.tuning and any(map(drafting.cycles, trial.own.samples)):
            groups[trial.own.arm, trial.task].append(trial)
    return [
        row
        for (arm, task), trials in sorted(groups.items())
        for row in _positions(arm, task, representative(trials))
    ]


def representative(trials: list[Trial]) -> Trial:
    """Returns one of several records of the same prompts and arm, which have the same cycles."""
    return min(trials, key=lambda trial: (trial.run, trial.record.path))


def _positions(arm: str, task: str, trial: Trial) -> list[dict[str, Any]]:
    # The end of a text cuts its last cycle short, which is no rejection.
    cycles = [cycle for sample in once(trial) for cycle in drafting.cycles(sample)[:-1]]
    deepest = max((drafting.depth(cycle) or 0 for cycle in cycles), default=0)
    rows = []
    for position in range(1, deepest + 2):
        reached = [c for c in cycles if (drafting.depth(c) or 0) >= position and c["tau"] >= position]
        accepted = sum(c["tau"] > position for c in reached)
        rows.append(
            {
                "arm": arm,
                "task": task,
                "position": position,
                "cycles": len(cycles),
                "share": sum(c["tau"] == position for c in cycles) / len(cycles),
                **_acceptance(accepted, len(reached)),
                "record": trial.record.path,
                "record_sha256": trial.record.sha256,
            }
        )
    return rows


def once(trial: Trial) -> list[dict[str, Any]]:
    """Returns the first visit of each prompt."""
    return [trial.own.of(prompt)[0] for prompt in trial.prompts]


def _acceptance(accepted: int, reached: int) -> dict[str, Any]:
    if not reached:
        return {"reached": 0}
    acceptance = statistics.wilson(accepted, reached)
    return {
        "reached": reached,
        "acceptance": acceptance.value,
        "acceptance_low": acceptance.low,
        "acceptance_high": acceptance.high,
    }


TABLE = Table(
    name="cycles",
    description="One row a drafting arm, workload and position in the block, over all cycles but the last of "
    "each text, in one run.",
    needs=("records", "floors"),
    key=("arm", "task", "position"),
    columns={
        "arm": text("the study's name for decoder and settings", nullable=False),
        "task": text("what is generated", nullable=False),
        "position": count("drafted token, counted from one behind the anchor"),
        "cycles": count("cycles of the arm on this workload", "cycles", kind="count"),
        "share": number("", "share of cycles whose tau is this position: the token there was the first rejected one",
                        "cycles", kind="count"),
        "reached": count("cycles that proposed this position and accepted all before it", "cycles", kind="count"),
        **measured("acceptance", "", "share of those that accepted it too (Wilson interval, cycles taken as apart)",
                   count="reached", kind="count", better="higher"),
        **SOURCES,
    },
    build=build,
)  # fmt: skip
