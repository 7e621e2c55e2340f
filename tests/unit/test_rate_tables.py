"""Tables `aup` and `interactivity`: accuracy under parallelism as its paper defines it, and two rates over batch."""

from __future__ import annotations

import math

import pytest

from pardec.evidence.tables.aup import ALPHA, DROP, area, kept
from pardec.evidence.tables.interactivity import front
from tests.report_fixtures import blocks_of, built


def test_the_area_is_that_of_the_paper():
    """By hand: a rectangle up to the first point, then trapezoids of accuracy times exp(-3 (1 - y / best))."""
    assert area([(1.0, 80.0)], 80.0) == pytest.approx(80.0)
    assert area([(1.0, 80.0), (3.0, 80.0)], 80.0) == pytest.approx(240.0)
    first, second = (80 * math.exp(-3 * 0), 76 * math.exp(-3 * (1 - 76 / 80)))
    assert area([(1.0, 80.0), (3.0, 76.0)], 80.0) == pytest.approx(80 + 2 * (first + second) / 2)
    below = area([(1.0, 80.0), (3.0, 76.0)], 90.0)
    assert below == pytest.approx(
        80 + (80 * math.exp(-3 * (1 - 80 / 90)) + 76 * math.exp(-3 * (1 - 76 / 90)))
    ), "the best of the task is another arm's"


def test_settings_that_lose_more_than_the_measure_allows_do_not_count():
    curve = [(1.0, 80.0), (2.0, 80.0 - DROP), (4.0, 80.0 - DROP - 0.1), (8.0, 79.0)]
    assert kept(curve) == [curve[0], curve[1], curve[3]]
    assert ALPHA == 3 and DROP == 5, "the paper's"


def rows_of(task, tpf, quality, **changes):
    row = blocks_of(task, 4, 1)
    return row | {
        "cell": f"{row['cell']}-{tpf}",
        "tokens_per_forward": tpf,
        "quality": quality,
        "quality_metric": "exact",
        "quality_better": "higher",
        "reference_quality": 0.9,
        **changes,
    }


def test_an_arm_is_a_curve_and_its_reference_a_point_of_one_token_a_pass():
    rows = built(
        "aup", cells=[rows_of("copy", 2.0, 0.9), rows_of("copy", 4.0, 0.88), rows_of("copy", 8.0, 0.2)]
    )
    by = {row["arm"]: row for row in rows}
    reference = blocks_of("copy", 4, 1)["reference_arm"]
    assert by[reference]["aup"] == pytest.approx(90.0)
    row = by["block"]
    assert (row["points"], row["kept"], row["tpf_most"]) == (3, 2, 4.0)
    assert row["aup"] == pytest.approx(area([(2.0, 90.0), (4.0, 88.0)], 90.0))
    assert row["anchored"]


def test_a_curve_that_begins_low_is_marked():
    (row,) = [
        row
        for row in built("aup", cells=[rows_of("copy", 2.0, 0.6), rows_of("copy", 3.0, 0.6)])
        if row["arm"] == "block"
    ]
    assert not row["anchored"]


def test_what_has_no_accuracy_has_no_area():
    likelihood = {"quality_metric": "scorer_nll", "quality_better": "lower"}
    cells = [rows_of("copy", 2.0, 1.4, **likelihood), rows_of("copy", 2.0, 0.5, quality_metric="distinct_2")]
    assert built("aup", cells=cells) == []
    assert built("aup", cells=[rows_of("copy", 2.0, 0.9, batch=8)]) == []


def test_a_request_gets_its_share_of_the_machine():
    rows = built("interactivity", cells=[blocks_of("copy", 4, batch) for batch in (1, 8)])
    assert [row["batch"] for row in rows] == [1, 8]
    for row in rows:
        for end in ("", "_low", "_high"):
            assert row[f"interactivity{end}"] == pytest.approx(row[f"tokens_per_s{end}"] / row["batch"])
    assert len({row["series"] for row in rows}) == 1
    assert built("interactivity", cells=[blocks_of("copy", 4, 8)]) == [], "one batch shows no trade"


def test_the_front_is_what_nothing_beats_on_both():
    rates = [(100, 100), (400, 50), (300, 40), (50, 100), (500, 10)]
    rows = [{"tokens_per_s": machine, "interactivity": request} for machine, request in rates]
    assert [(row["tokens_per_s"], row["interactivity"]) for row in front(rows)] == [
        (500, 10),
        (400, 50),
        (100, 100),
    ]


def test_a_cell_that_fails_its_quality_is_not_on_the_front():
    cells = [blocks_of("copy", 4, batch) for batch in (1, 8)]
    fast = {"key": "f", "cell": "block/copy/m/other/block~4+batch~8", "arm": "other", "gate": False}
    faster = (
        blocks_of("copy", 4, 8)
        | fast
        | {"tokens_per_s": 1e6, "tokens_per_s_low": 1e6, "tokens_per_s_high": 1e6}
    )
    rows = built("interactivity", cells=[*cells, faster])
    assert {row["cell"]: row["front"] for row in rows}[faster["cell"]] is False
    assert any(row["front"] for row in rows)
