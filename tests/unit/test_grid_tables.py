"""Tables of the Mega-Grid, on synthetic runs whose answers are known."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas
import pytest

from pardec.evidence.statistics import linear_slope, loglog_slope
from pardec.evidence.tables.growth import FEWEST, SAME
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.raw import POINTS, curve, middle
from pardec.evidence.tables.registry import TABLES
from tests import grid_factories as made


@pytest.fixture(scope="module")
def frames():
    return made.frames()


@pytest.fixture(scope="module")
def rows(frames):
    return made.rows(frames)


def pick(rows, **wanted):
    (result,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return result


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
    growth = [row for row in rows["growth"] if row["span"] == "all"]
    sequential = pick(growth, arm="ar", chosen=SAME, quantity="latency_ms")
    assert sequential["exponent"] == pytest.approx(1, abs=0.01) and sequential["slope"] == pytest.approx(
        1, rel=0.01
    )
    assert sequential["slope_unit"] == "ms/token" and sequential["constant_to"] == 64
    passes = pick(growth, arm="jacobi", chosen=SAME, quantity="nfe")
    assert (passes["smallest"], passes["largest"], passes["growth"]) == (3, 3, 1)
    assert passes["exponent"] == 0 and passes["constant_throughout"]
    each = pick(growth, arm="jacobi", chosen=SAME, quantity="pass_ms")
    assert each["exponent"] == pytest.approx(1, abs=0.01) and not each["constant_throughout"]


@pytest.mark.parametrize(("change", "series"), [("model", 2), ("task", 0)])
def test_two_workloads_of_one_size_are_never_one_series(frames, change, series):
    """Those of two models are two series. Nothing says which of two tasks goes with which at other sizes."""
    tables, grid = dict(frames), frames["grid"]
    slower = grid.assign(**{change: grid[change] + "-other"}, latency_ms=grid["latency_ms"] * 7)
    tables["grid"] = pandas.concat([grid, slower], ignore_index=True)
    tables["growth"] = TABLES.load("growth").make(Inputs(tables=tables))
    wanted = {"arm": "ar", "quantity": "latency_ms", "span": "all", "chosen": SAME}
    lines = [
        row
        for row in made.rows(tables)["growth"]
        if all(row[name] == value for name, value in wanted.items())
    ]
    assert len(lines) == series
    for row, times in zip(lines, (1, 7), strict=False):
        assert row["exponent"] == pytest.approx(1, abs=0.01) and row["slope"] == pytest.approx(
            times, rel=0.01
        )


def test_the_fewest_passes_are_those_that_are_right(rows):
    """Diffusion in one pass is wrong at the largest size, so the quickest right cell there takes ten."""
    fewest = pick(rows["growth"], arm="diffusion", chosen=FEWEST, quantity="nfe", span="all")
    assert (fewest["smallest"], fewest["largest"], fewest["n"]) == (1, 10, 4) and fewest["all_right"]
    assert fewest["constant_to"] == 1024
    assert not [row for row in rows["growth"] if row["arm"] == "full-passes" and row["chosen"] == FEWEST]


def test_constant_time_is_told_with_the_interval():
    flat = made.rows(made.frames(times=lambda arm, tokens: tokens if arm == "ar" else 5.0))
    fit = pick(flat["growth"], arm="jacobi", chosen=SAME, quantity="latency_ms", span="all")
    assert (
        fit["constant_throughout"]
        and fit["constant_to"] == 4096
        and fit["exponent"] == pytest.approx(0, abs=0.01)
    )


def test_linear_slope():
    x = np.array([1.0, 2, 5, 9])
    result = linear_slope(x, 3 * x + 7)
    assert result.value == pytest.approx(3) and result.low == pytest.approx(3) and result.n == 4
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
