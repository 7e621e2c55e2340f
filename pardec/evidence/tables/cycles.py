"""Tables `cycles` and `cycle_trace`: cycles of one run of each drafting arm, by position in the block and singly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.drafting import Trial
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, interval

statistics = lazy("pardec.evidence.statistics")


def representatives(inputs: Inputs) -> Iterator[tuple[Row, Trial, list[Sample]]]:
    """Yield by arm and task (these columns, one of its records, the first visit of each prompt).

    Several records of the same prompts and arm have the same cycles.
    """
    first: dict[tuple[str, str], Trial] = {}
    for trial in sorted(drafting.trials(inputs), key=lambda trial: (trial.run, trial.record.path)):
        if trial.ok and not trial.tuning and any(map(drafting.cycles, trial.candidate.samples)):
            first.setdefault((trial.candidate.arm, trial.task), trial)
    for (arm, task), trial in sorted(first.items(), key=lambda item: item[0]):
        yield {"arm": arm, "task": task}, trial, [trial.candidate.of(prompt)[0] for prompt in trial.prompts]


def _cycles(inputs: Inputs) -> list[Row]:
    rows = []
    for what, trial, samples in representatives(inputs):
        # The end of a text cuts its last cycle short, which is no rejection.
        cycles = [cycle for sample in samples for cycle in drafting.cycles(sample)[:-1]]
        for position in range(1, max((drafting.depth(cycle) or 0 for cycle in cycles), default=-1) + 2):
            shares = _position(cycles, position)
            rows.append(
                {**what, "position": position, "cycles": len(cycles), **shares, **trial.record.origin}
            )
    return rows


def _position(cycles: list[dict[str, Any]], position: int) -> Row:
    reached = [c for c in cycles if (drafting.depth(c) or 0) >= position and c["tau"] >= position]
    row: Row = {"share": sum(c["tau"] == position for c in cycles) / len(cycles), "reached": len(reached)}
    if reached:
        row |= interval(
            "acceptance", statistics.wilson(sum(c["tau"] > position for c in reached), len(reached))
        )
    return row


CYCLES = Table(
    name="cycles",
    description="One row per drafting arm, workload and position in the block, over all cycles but the last of "
    "each text, in one run.",
    needs=("records", "floors"),
    key=("arm", "task", "position"),
    columns=columns("""
arm         text! | the study's name for decoder and settings
task        text! | what is generated
position    count | drafted token, counted from one after the anchor
cycles      count cycles kind=count | cycles of the arm on this workload
share       number of=cycles kind=count | share of cycles whose tau is this position: the token there was the first
    rejected one
reached     count cycles kind=count | cycles that proposed this position and accepted all before it
acceptance  interval of=reached kind=count better=higher | share of those that accepted it too (Wilson interval,
    cycles taken as independent)
""")
    | SOURCES,
    build=_cycles,
)

FACTS = ("at_ms", "tau", "block", "accepted", "drafted", "asked", "seeded", "refined", "passes")
TIMES = ("cycle_ms", "draft_ms", "verify_ms", "other_ms")


def _trace(inputs: Inputs) -> list[Row]:
    rows = []
    for what, trial, samples in representatives(inputs):
        for sample in samples:
            written = sample.get("first_tokens") or 0
            both = zip(drafting.cycles(sample), drafting.timed_cycles(sample), strict=True)
            for place, (cycle, times) in enumerate(both):
                rows.append(
                    {
                        **what,
                        "prompt": drafting.prompt_of(sample),
                        "cycle": place,
                        "token": round(written),
                        **{name: cycle.get(name) for name in FACTS},
                        "nodes": drafting.nodes(cycle),
                        **{name: times[name] for name in TIMES},
                        **trial.record.origin,
                    }
                )
                written += cycle["tau"]
    return rows


CYCLE_TRACE = Table(
    name="cycle_trace",
    description="One row per cycle: the first visit of each prompt, in one run of each drafting arm.",
    needs=("records", "floors"),
    key=("arm", "task", "prompt", "cycle"),
    columns=columns("""
arm        text! | the study's name for decoder and settings
task       text! | what is generated
prompt     text! | id of the prompt
cycle      count | its number in the generation, from zero
token      count tokens | tokens written before the cycle
at_ms      number ms | its end, from the start of the generation
tau        number tokens | tokens it committed
block      number tokens | block size, the anchor included
asked      number tokens | block that the schedule chose; a cycle near the end of a text is given less
accepted   number tokens | drafted tokens accepted
drafted    number tokens | tokens on the longest path of the proposal
nodes      number tokens | tokens that the target's passes held
passes     number passes | passes of the target
seeded     number tokens | recycled tokens given to the draft
refined    number tokens | tokens drafted again
cycle_ms   number ms | time of the cycle
draft_ms   number ms | of it in the draft
verify_ms  number ms | of it in the target
other_ms   number ms | of it in the loop itself
""")
    | SOURCES,
    build=_trace,
    published=False,
)
