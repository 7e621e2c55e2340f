"""The table of stability and what it comes to: order in time, repetitions, flags, drift of the same work."""

from __future__ import annotations

import datetime

import pytest

from pardec.evidence.findings import find
from pardec.evidence.tables.inputs import Inputs, Source
from pardec.evidence.tables.raw import STABILITY

START = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)


def record(name, at, times, reference=None, reason="precise", **cell):
    about = {
        "id": name, "experiment": "steps", "task": "copy", "model": "m", "arm": name, "decoder": "masked_diffusion",
        "settings": {"steps": 4}, "engine": "eager", "batch": 1, "new_tokens": 8, **cell,
    }  # fmt: skip
    ar = {**about, "arm": "ar", "decoder": "autoregressive", "settings": {}}
    return Source(
        f"results/cells/{name}/timing.json",
        "0" * 64,
        {
            "cell": about,
            "status": "ok" if times else "oom",
            "samples": [sample(time) for time in times],
            "reference": reference and {"cell": ar, "samples": [sample(time) for time in reference]},
            "stop": {"reason": reason, "half_width": 0.02, "target": 0.05},
            "measured_s": 1.0,
            "provenance": {"start": (START + datetime.timedelta(seconds=at)).isoformat()},
        },
    )


def sample(time):
    flagged, time = (True, -time) if time < 0 else (False, time)
    return {"e2e_ms": time, "prompts": ["p0"], "flags": ["foreign"] if flagged else []}


def rows_of(*records):
    frame = STABILITY.make(Inputs(records=records))
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return {(row["cell"], row["side"]): row for row in rows}


@pytest.fixture
def rows():
    return rows_of(
        record("a", 60, [10.0, 10.0, 20.0, 20.0], [5.0] * 4),
        record("b", 0, [8.0, -80.0, 8.0], [4.0] * 3, reason="budget"),
        record("c", 120, [9.0] * 5, [6.0] * 5),
        record("d", 90, []),
    )


def test_time_counts_from_the_first_cell(rows):
    assert [rows[name, "cell"]["started_s"] for name in "abcd"] == [60, 0, 120, 90]


def test_flags_are_counted_and_left_out_of_the_median(rows):
    row = rows["b", "cell"]
    assert (row["n"], row["n_all"], row["flagged"], row["flags"]) == (2, 3, 1, "foreign:1")
    assert row["latency_ms"] == 8


def test_halves_tell_drift_within_a_process(rows):
    assert rows["a", "cell"]["halves"] == 2
    assert rows["b", "cell"]["halves"] is None, "too few samples"


def test_the_same_work_is_held_against_its_median(rows):
    assert [rows[name, "reference"]["relative"] for name in "abc"] == [1, 0.8, 1.2]
    assert rows["a", "reference"]["times"] == 3
    assert rows["a", "cell"]["relative"] is None, "nothing else did that"
    assert (rows["a", "cell"]["stop_reason"], rows["a", "reference"]["stop_reason"]) == ("precise", None)


def test_a_failed_cell_has_a_row_and_no_reference_row(rows):
    assert rows["d", "cell"]["status"] == "oom"
    assert rows["d", "cell"]["latency_ms"] is rows["d", "cell"]["stop_reason"] is None
    assert ("d", "reference") not in rows


def test_other_work_is_not_the_same_work():
    rows = rows_of(record("a", 0, [1.0] * 4, [5.0] * 4), record("b", 1, [1.0] * 4, [9.0] * 4, batch=2))
    assert rows["a", "reference"]["relative"] is None


def test_findings_follow_from_the_rows(rows):
    result = {
        pick.id.removeprefix("finding/stability/"): pick for pick in find({"stability": [*rows.values()]})
    }
    expected = {
        "most": 5,
        "least": 3,
        "stop/precise": 2,
        "stop/budget": 1,
        "samples": 24,
        "flagged": 1,
        "again": 3,
    }
    assert {name: result[name].value for name in expected} == expected
    assert result["farthest"].value == pytest.approx(0.8)
    assert result["span"].value == 120
    # 0.8, 1, 1.2 of the median at 0, 60, 120 s: the middle of the three slopes of the logarithm is over all of it.
    assert result["drift"].value == pytest.approx(1.5, rel=0.01)
    assert result["drift"].low <= result["drift"].value <= result["drift"].high


def test_no_rows_no_findings():
    assert find({"stability": []}) == []


def test_one_process_has_no_drift():
    result = {pick.id for pick in find({"stability": [*rows_of(record("a", 0, [1.0] * 4)).values()]})}
    assert "finding/stability/drift" not in result
    assert "finding/stability/most" in result


def block_record(name, time, prompts=("p0", "p1"), **cell):
    """One arm of block diffusion that stops by a threshold, so that its passes depend on the text."""
    made = record(name, 0, [time] * len(prompts), **{"arm": "block", "data": "strings", **cell})
    for sample, prompt in zip(made.body["samples"], prompts, strict=True):
        sample["prompts"] = [prompt]
    return made


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ({}, True),
        ({"experiment": "block"}, True),
        ({"task": "sort"}, False),
        ({"companions": {"draft": "d"}}, False),
        ({"settings": {"steps": 4, "block": 8}}, False),
        ({"batch": 2}, False),
        ({"tuning": True}, False),
        ({"prompts": ("p0", "p2")}, False),
        ({"a field of a later version": 1}, False),
    ],
)
def test_the_same_work_shares_all_that_decides_it(other, same):
    rows = rows_of(block_record("a", 1.0), block_record("b", 5.0, **other))
    assert (rows["a", "cell"]["relative"] is not None) == same
    assert ("finding/stability/works" in {one.id for one in find({"stability": list(rows.values())})}) == same
