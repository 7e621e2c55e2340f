"""Table `acceptance`: how far drafts are right, by how sure the target is of what it writes."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy
from pardec.evidence import drafting
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.tables.base import Row, Table
from pardec.evidence.tables.cycles import representatives
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.pairs import Sample, interval

if TYPE_CHECKING:
    from pardec.evidence.statistics import Estimate

np = lazy("numpy")
statistics = lazy("pardec.evidence.statistics")

LEVELS = 3
LEAST = 2
"""Fewest prompts of a level: one has no interval."""


def build(inputs: Inputs) -> list[Row]:
    """Return one row per drafting arm, workload and level; none where a record keeps no entropies."""
    rows = []
    for what, trial, samples in representatives(inputs):
        known = trial.candidate.entropy
        ranked = sorted(
            (sample for sample in samples if drafting.prompt_of(sample) in known),
            key=lambda sample: (known[drafting.prompt_of(sample)], drafting.prompt_of(sample)),
        )
        if len(ranked) < LEAST * LEVELS:
            continue
        for level, places in enumerate(np.array_split(range(len(ranked)), LEVELS), 1):
            these = [ranked[place] for place in places]
            ends = [known[drafting.prompt_of(sample)] for sample in (these[0], these[-1])]
            rows.append({**what, "level": level, **_level(these), **trial.record.origin})
            rows[-1] |= {"entropy_least": ends[0], "entropy_most": ends[1]}
    return rows


def _level(samples: list[Sample]) -> Row:
    """Return the columns of one level, from the first visit of each of its prompts."""
    # The end of a text cuts its last cycle short, which is no rejection.
    whole = [drafting.cycles(sample)[:-1] for sample in samples]
    counts = [[_reached(cycle) for cycle in cycles] for cycles in whole]
    accepted, reached = ([sum(pair[side] for pair in pairs) for pairs in counts] for side in (0, 1))
    row = {"prompts": len(samples), "cycles": sum(map(len, whole)), "reached": sum(reached)}
    tokens = [sum(cycle["tau"] for cycle in cycles) for cycles in whole]
    if sum(reached):
        row |= interval("acceptance", _share(accepted, reached))
    if row["cycles"]:
        row |= interval("tau", statistics.ratio_of_sums(tokens, [len(cycles) for cycles in whole]))
    return row


def _share(accepted: list[int], reached: list[int]) -> Estimate:
    """Return the share with the wider ends of two intervals: over prompts, which is a point where all prompts agree
    and may pass one, and Wilson's, which takes positions as apart."""
    over, apart = statistics.ratio_of_sums(accepted, reached), statistics.wilson(sum(accepted), sum(reached))
    if over.low is None:
        return replace(over, low=apart.low, high=apart.high)
    return replace(over, low=max(0.0, min(over.low, apart.low)), high=min(1.0, max(over.high, apart.high)))


def _reached(cycle: dict) -> tuple[int, int]:
    """Return (positions accepted, positions whose predecessors were all accepted) of one cycle."""
    depth = drafting.depth(cycle) or 0
    accepted = min(int(cycle["tau"]) - 1, depth)
    return accepted, min(accepted + 1, depth)


ACCEPTANCE = Table(
    name="acceptance",
    description="One row per drafting arm, workload and third of its prompts, by the entropy of the target's "
    "predictions over its own output, in one run: how far drafts are right, given that they were right so far.",
    needs=("records", "floors"),
    key=("arm", "task", "level"),
    columns=columns("""
arm            text! | the study's name for decoder and settings
task           text! | what is generated
level          count | third of the prompts by entropy, the most certain first
prompts        size prompts | prompts in it, the first visit of each
entropy_least  number nats kind=count | smallest mean entropy of an output in it
entropy_most   number nats kind=count | largest
cycles         count cycles kind=count | cycles of these prompts but the last of each
reached        count kind=count | drafted positions whose predecessors in the block were all accepted
acceptance     interval of=prompts kind=count better=higher | share of those that were accepted too, all positions
    together; its interval is the wider of that over prompts and Wilson's over positions
tau            interval tokens of=prompts kind=count better=higher | tokens committed per verification; its interval is
    over prompts
""")
    | SOURCES,
    build=build,
)
