"""Tables and claims of the Mega-Grid, on synthetic runs whose answers are known."""

from __future__ import annotations

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from pardec.evidence.claims import CONTRADICTED, NOT_RUN, NOT_TESTABLE, REPRODUCED, UNDECIDED
from pardec.evidence.statistics import linear_slope, loglog_slope
from pardec.evidence.tables.commits import POINTS, curve, middle
from pardec.evidence.tables.files import write_table
from pardec.evidence.tables.grid_growth import FEWEST
from pardec.evidence.values import publish, table_values
from tests import claim_rows
from tests import grid_factories as made


@pytest.fixture(scope="module")
def rows():
    return made.rows(made.frames())


def judged(number: str, **changes):
    """The claim's judgement on a synthetic run, and its sentence with the values that the tables publish."""
    frames = made.frames(**changes)
    with tempfile.TemporaryDirectory() as folder:
        for name in ("grid", "grid_growth"):
            write_table(frames[name], Path(folder) / f"{name}.csv", Path(folder) / f"{name}.parquet")
        tables = publish([folder])
        values = {v["id"]: v for table in tables.values() for v in table_values(table)}
    return claim_rows.judged(number, made.rows(frames), values)


def pick(rows, **wanted):
    (found,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return found


def test_size_columns_and_scores(rows):
    row = pick(rows["grid"], arm="diffusion", steps=1, side=64)
    assert (row["cells_right"], row["grids_right"], row["right"], row["passes_set"]) == (
        0.7,
        0.0,
        False,
        None,
    )
    assert row["new_tokens"] == 4096 and row["nfe"] == 1
    full = pick(rows["grid"], decoder="full_passes", side=16)
    assert (
        full["passes_set"] == 10 and full["right"] is False and full["ratio"] == pytest.approx(1.6, rel=0.02)
    )
    assert pick(rows["grid"], role="reference", side=8)["right"] is True


def test_growth_of_passes_and_time(rows):
    growth = rows["grid_growth"]
    sequential = pick(growth, arm="ar", series=None, quantity="latency_ms")
    assert sequential["exponent"] == pytest.approx(1, abs=0.01) and sequential["slope_ms"] == pytest.approx(
        1, rel=0.01
    )
    assert sequential["slope_passes"] is None and sequential["constant_to"] == 64
    passes = pick(growth, arm="jacobi", series=None, quantity="nfe")
    assert (passes["smallest"], passes["largest"], passes["growth"]) == (3, 3, 1)
    assert passes["exponent"] == 0 and passes["constant_throughout"]
    each = pick(growth, arm="jacobi", series=None, quantity="pass_ms")
    assert each["exponent"] == pytest.approx(1, abs=0.01) and not each["constant_throughout"]


def test_the_fewest_passes_are_those_that_are_right(rows):
    """Diffusion in one pass is wrong at the largest size, so the quickest right cell there takes ten."""
    fewest = pick(rows["grid_growth"], arm="diffusion", series=FEWEST, quantity="nfe")
    assert (fewest["smallest"], fewest["largest"], fewest["n"]) == (1, 10, 4) and fewest["all_right"]
    assert fewest["constant_to"] == 1024 and fewest["constant_side"] == 32
    assert not [row for row in rows["grid_growth"] if row["arm"] == "full-passes" and row["series"] == FEWEST]


def test_constant_time_is_told_with_the_interval():
    flat = made.rows(made.frames(times=lambda arm, tokens: tokens if arm == "ar" else 5.0))
    fit = pick(flat["grid_growth"], arm="jacobi", series=None, quantity="latency_ms")
    assert (
        fit["constant_throughout"]
        and fit["constant_to"] == 4096
        and fit["exponent"] == pytest.approx(0, abs=0.01)
    )


def test_linear_slope():
    x = np.array([1.0, 2, 5, 9])
    found = linear_slope(x, 3 * x + 7)
    assert found.value == pytest.approx(3) and found.low == pytest.approx(3) and found.n == 4
    assert linear_slope([1, 2], [1, 3]).low is None and linear_slope([2, 2], [1, 3]) is None
    assert linear_slope(np.log(x), np.log(x**2)).value == pytest.approx(loglog_slope(x, x**2).value)


def test_commits_are_the_events_of_the_median_sample(rows):
    cell = pick(rows["grid"], arm="full-passes", side=32)["cell"]
    events = [row for row in rows["commits"] if row["cell"] == cell]
    assert [row["tokens"] for row in events] == [1024]
    line = [row for row in rows["commits"] if row["cell"] == pick(rows["grid"], arm="ar", side=64)["cell"]]
    assert POINTS / 2 < len(line) <= POINTS + 1 and line[-1]["tokens"] == 4096
    assert all(a["tokens"] < b["tokens"] and a["at_ms"] < b["at_ms"] for a, b in pairwise(line))


def test_the_middle_sample_is_clean_and_median():
    samples = [{"e2e_ms": t, "flags": f} for t, f in ((5, []), (1, ["busy"]), (9, []), (7, []))]
    assert middle(samples)["e2e_ms"] == 7
    assert curve({"commit_ms": [1.0, 2.0, 3.0], "committed": [2, 0, 3]}) == [(1.0, 2), (3.0, 5)]
    assert curve({}) == []


def test_sequential_time_is_linear():
    found, said = judged("000.1")
    assert found.verdict == REPRODUCED and "4096 passes" in said
    square = judged("000.1", times=lambda arm, tokens: tokens**2 / 64)[0]
    assert square.verdict == CONTRADICTED


def test_passes_whatever_the_size():
    found, _ = judged("000.2")
    parts = {part.name: part.verdict for part in found.parts}
    assert found.verdict == REPRODUCED
    assert parts == {
        "diffusion": REPRODUCED,
        "jacobi": REPRODUCED,
        "jacobi-plain": CONTRADICTED,
        "full-passes": CONTRADICTED,
    }
    none, _ = judged("000.2", share=lambda arm, side: 1.0 if arm == "ar" else 0.5)
    assert none.verdict == CONTRADICTED


def test_absolute_times_are_told_and_not_judged():
    for number in ("000.3", "000.4"):
        found, said = judged(number)
        assert found.verdict == NOT_TESTABLE and "hardware" in found.reason and "ms" in said


def test_speedup():
    found, said = judged("000.5")
    assert found.verdict == CONTRADICTED and "timing only" in said and " 0.100" in said
    fast, _ = judged("000.5", times=lambda arm, tokens: tokens if arm == "ar" else 1.0, sides=(8, 16))
    assert fast.verdict == REPRODUCED
    assert judged("000.5", share=lambda arm, side: 0.2)[0].verdict == NOT_TESTABLE


def test_sizes_that_can_be_written():
    found, said = judged("000.6")
    assert found.verdict == REPRODUCED and "64×64" in said
    nearly, _ = judged("000.6", share=lambda arm, side: 0.995)
    assert nearly.verdict == NOT_TESTABLE and {part.verdict for part in nearly.parts} == {UNDECIDED}
    assert judged("000.6", share=lambda arm, side: 0.9)[0].verdict == CONTRADICTED
    small, _ = judged("000.6", sides=(8, 16))
    assert small.verdict == NOT_TESTABLE and "sizes" in small.reason


def test_time_is_no_step():
    assert judged("000.7")[0].verdict == CONTRADICTED
    flat, _ = judged("000.7", times=lambda arm, tokens: tokens if arm == "ar" else 5.0)
    assert flat.verdict == REPRODUCED


def test_learned():
    found, said = judged("000.8")
    assert found.verdict == REPRODUCED and "ar-mega" in said
    assert {part.name: part.verdict for part in found.parts}["ar-plain"] == CONTRADICTED
    assert judged("000.8", share=lambda arm, side: 0.5)[0].verdict == CONTRADICTED


def test_without_the_experiment_nothing_is_judged():
    for number in range(1, 9):
        assert claim_rows.verdict(f"000.{number}", {"grid": [], "grid_growth": []}).verdict == NOT_RUN
