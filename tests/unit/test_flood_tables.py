"""Tables of Flash Flood, on synthetic runs whose answers are known."""

from __future__ import annotations

import pytest

from pardec.evidence.findings import card_rates, flood
from pardec.evidence.tables.views import PHASES, series_of
from tests import flood_factories as made


@pytest.fixture(scope="module")
def frames():
    return made.frames()


@pytest.fixture(scope="module")
def rows(frames):
    return made.rows(frames)


@pytest.fixture(scope="module")
def values(frames):
    return made.values(frames)


def pick(rows, **wanted):
    (result,) = [row for row in rows if all(row[name] == value for name, value in wanted.items())]
    return result


def test_shares_sum_to_one(rows):
    shared = [row for row in rows["flood"] if row["level1_share"] is not None]
    assert shared
    for row in shared:
        assert sum(row[f"{phase}_share"] for phase in (*PHASES, "other")) == pytest.approx(1)
        whole = row["manager_share"] + row["render_share"] + row["overhead_share"]
        assert whole == pytest.approx(1)
    given = pick(shared, series="parallel K=1", roots=200)
    assert given["render_share"] == pytest.approx(0.9) and given["manager_share"] == 0


def test_rates_and_counts(rows):
    row = pick(rows["flood"], series="parallel K=1", roots=200)
    assert row["latency_ms"] == pytest.approx(10.02, rel=0.01)
    assert row["chunks"] == 600 and row["chunks_per_s"] == pytest.approx(600 / 0.01002, rel=0.01)
    assert row["characters_per_s"] == pytest.approx(3 * row["chunks_per_s"])
    planned = pick(rows["flood"], series="end to end K=1", roots=200)
    assert planned["manager_passes"] == 180 and planned["prompt_tokens"] == 20
    lookup = pick(rows["flood"], series="lookup", roots=200)
    assert lookup["chunks_per_s"] is None and lookup["characters_per_s"] > 0


def test_series_hold_what_differs_in_roots_alone(rows):
    for row in rows["flood"]:
        if row["chunk_batch"] is not None or row["decoder"] == "autoregressive":
            assert row["series"] is None
    plain = {"status": "ok", "batch": 1, "roots": 20, "decoder": "flash_flood", "order": "by_root"}
    assert series_of({**plain, "plan": "given", "candidates": 4}) == "by_root K=4"
    assert series_of({**plain, "status": "oom"}) is None
    jacobi = {"plan": "manager", "manager": "jacobi", "candidates": 1, "order": "parallel"}
    assert series_of({**plain, **jacobi}) == "end to end, jacobi K=1"


def whole(rows, series):
    """The growth of a series over all of its sizes."""
    return pick(rows["growth"], series=series, span="all")


def test_growth_of_time(rows):
    serial = whole(rows, "by_root K=1")
    assert serial["exponent"] == pytest.approx(1) and serial["n"] == 4
    assert serial["slope"] == pytest.approx(4, rel=0.01) and serial["growth"] == pytest.approx(50)
    assert (serial["from_x"], serial["to_x"], serial["constant_to"]) == (20, 1000, 20)
    parallel = whole(rows, "parallel K=1")
    assert parallel["exponent_low"] < parallel["exponent"] < 1 and not parallel["constant_throughout"]
    local = [row for row in rows["growth"] if row["series"] == "parallel K=1" and row["span"] != "all"]
    assert [(row["from_x"], row["to_x"]) for row in local] == [(20, 50), (50, 200), (200, 1000)]
    assert local[-1]["exponent"] > parallel["exponent"] > local[0]["exponent"]
    assert all(row["exponent_low"] < row["exponent"] < row["exponent_high"] for row in local)
    assert serial["x_unit"] == "roots" and serial["slope_unit"] == "ms/root"


def test_constant_time_is_told_with_the_interval():
    def times(who, roots):
        return 5.0 if who.get("order") == "parallel" else roots

    flat = made.rows(made.frames(times=times, only=made.settings(candidates=1)))
    fit = whole(flat, "parallel K=1")
    assert fit["constant_throughout"] and fit["constant_to"] == 1000
    assert fit["exponent"] == pytest.approx(0, abs=0.01)


def test_constant_up_to_a_size():
    def times(who, roots):
        return max(roots, 50) / 10 if who.get("order") == "parallel" else float(roots)

    fit = whole(made.rows(made.frames(times=times, only=made.settings(candidates=1))), "parallel K=1")
    assert fit["constant_to"] == 50 and not fit["constant_throughout"]


def test_two_sizes_have_the_interval_of_their_samples():
    rows = made.rows(made.frames(sizes=(20, 50), only=made.settings("by_root")))
    fit = whole(rows, "by_root K=1")
    assert fit["n"] == 2 and fit["exponent"] == pytest.approx(1)
    assert fit["exponent_low"] < 1 < fit["exponent_high"] and fit["slope_low"] is None


def test_times_faster_come_from_the_pairs(rows, values):
    row = pick(rows["flood"], order="by_candidate")
    result = values[f"finding/flood/times-faster/{row['key']}"]
    assert result["value"] == pytest.approx(1 / row["ratio"]) == pytest.approx(1280 / 14.8, rel=0.01)
    assert result["ci_low"] <= result["value"] <= result["ci_high"]
    mine = pick(rows["flood"], series="by_root K=1", roots=20)
    assert mine["reference_order"] is None and f"finding/flood/times-faster/{mine['key']}" not in values


def test_more_roots_in_less_time(values):
    result = values["finding/flood/more-in-less/k~1"]
    assert result["value"] == pytest.approx(10 / 200, rel=0.01)
    assert result["ci_low"] < result["value"] < result["ci_high"]


def test_the_model_scales_the_rate_by_measured_rates(rows, values):
    best = max(row["chunks_per_s"] for row in rows["flood"] if row["series"] == "parallel K=1")
    surface = max(
        row["chunks_per_s"] for row in rows["flood"] if row["candidates"] == 1 and row["chunks_per_s"]
    )
    result = values["finding/flood_model/copy_gb_per_s"]
    [(_, bandwidth, _), (_, matmul, words)] = card_rates("float32")
    assert result["value"] == pytest.approx(max(best, surface) * bandwidth / 10)
    assert result["description"].startswith("modelled")
    # float32 here against float32 there, without tensor cores; 16 bits against 16 bits.
    assert matmul == 67_000 and "float32" in words
    assert card_rates("bfloat16")[1][1] == 989_000


def test_only_floods_of_one_workload_are_compared(rows):
    def pairs(lines):
        return {
            one.id for one in flood({"flood": lines, "machine": rows["machine"]}) if "more-in-less" in one.id
        }

    apart = [row | {"task": row["task"] + str(row["order"] == "parallel")} for row in rows["flood"]]
    assert pairs(rows["flood"]) and not pairs(apart)
