"""What counts as the target's own output: identical in float32, up to rounding in a shorter format."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pardec.evidence.tables.draft import ALL
from pardec.evidence.tables.inputs import rows_of
from pardec.evidence.verdicts import REJECTED, VALIDATED
from tests import draft_factories as made
from tests.draft_factories import AR, BASE, EFFECTS, REFERENCE, idea_records


def tables(behind, sequential, wrong=0.25):
    """Return the rows of table `draft` over all workloads and of table `ideas`, by arm, of a run in bfloat16."""
    base, plain = replace(BASE, behind=0.0), replace(AR, behind=sequential)
    records = [
        body
        for task in made.WORKLOADS
        for body in (
            made.record(plain, task, None),
            made.record(base, task, plain),
            *(made.record(base, task, base, run) for run in (1, 2)),
        )
    ]
    idea = replace(EFFECTS["tree"], wrong=wrong, behind=behind)
    result = idea_records(idea, replace(base, name="tree-off"), [base])
    records += [body for body in result if body["reference"]["cell"]["arm"] != REFERENCE]
    return judged(records)


def judged(records):
    frames = made.frames(records, ("draft_prompts", "draft", "ideas"))
    return (
        {row["arm"]: row for row in rows_of(frames["draft"]) if row["task"] == ALL},
        {row["arm"]: row for row in rows_of(frames["ideas"])},
    )


@pytest.mark.parametrize(
    ("behind", "sequential", "lossless", "status"),
    [
        (0.0, 0.0, 1, VALIDATED),
        (2.0, 0.0, 1, VALIDATED),
        (2.5, 0.0, 0.75, REJECTED),
        (2.5, 3.0, 1, VALIDATED),
    ],
)
def test_in_a_shorter_format_a_token_that_rounding_explains_is_lossless(behind, sequential, lossless, status):
    """Two of eight prompts part in the last token, where the two best logits are an eighth of a nat apart."""
    draft, ideas = tables(behind, sequential)
    mine, verdict = draft["tree"], ideas["tree"]
    assert mine["lossless"] == pytest.approx(lossless)
    assert (mine["parted"], mine["parts_at"], mine["margin"], mine["behind"]) == (
        16,
        made.NEW - 1,
        0.125,
        behind,
    )
    assert verdict["status"] == status and verdict["lossless"] is (lossless == 1)


@pytest.mark.parametrize("given", [False, True])
def test_in_float32_any_other_token_is_a_fault_whatever_the_record_tells(given):
    records = [*made.least_frame(), *idea_records(EFFECTS["confidence"], None)]
    for body in records if given else ():
        for output in body["outputs"]:
            output |= {"margins": [0.0] * made.NEW, "behind_ulp": 0.0}
    draft, ideas = judged(records)
    mine = draft["confidence"]
    assert mine["lossless"] == pytest.approx(0.75) and ideas["confidence"]["status"] == REJECTED
    assert mine["parted"] > 0 and mine["parts_at"] == made.NEW - 1
    assert (mine["margin"], mine["behind"]) == ((0.0, 0.0) if given else (None, None))
    assert draft["draft"]["parted"] == 0 and draft["draft"]["parts_at"] is None


def test_in_a_shorter_format_nothing_is_excused_of_which_nothing_is_told():
    records = []
    for task in made.WORKLOADS:
        records += [made.record(replace(AR, behind=0.0), task, None)]
        records += [made.record(replace(BASE, behind=0.0, wrong=0.25), task, replace(AR, behind=0.0))]
    for body in records:
        for output in body["outputs"]:
            del output["margins"], output["behind_ulp"]
    draft, _ = judged(records)
    assert draft["draft"]["lossless"] == pytest.approx(0.75) and draft["draft"]["margin"] is None


def test_drawn_outputs_part_from_nothing():
    drawn = idea_records(EFFECTS["multi-round"], None)
    draft, _ = judged([*made.least_frame(), *drawn])
    assert draft["multi-round"]["parted"] is None and draft["multi-round"]["lossless"] is None
