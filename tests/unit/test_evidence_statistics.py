"""Estimators against laws and known answers."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from pardec.evidence import statistics as s


@pytest.mark.parametrize("n", [6, 8, 12, 30])
@pytest.mark.parametrize("law", [stats.norm(10, 1), stats.lognorm(0.5), stats.expon()])
def test_interval_of_the_median_covers(law, n, monkeypatch):
    monkeypatch.setattr(s, "RESAMPLES", 500)
    rng, truth, runs = np.random.default_rng(n), law.median(), 150
    hits = 0
    for _ in range(runs):
        e = s.median(law.rvs(n, random_state=rng))
        hits += e.low <= truth <= e.high
    assert hits / runs >= 0.90, "a 95 % interval may fall a little short of its level, not more"
    assert n < 30 or hits / runs < 0.995, "an interval that always covers is too wide to say anything"


def test_few_values_are_told_honestly():
    assert s.median([]) is None
    assert s.median([3.0]) == s.Estimate(3.0, None, None, 1)
    assert s.median([3.0, 1.0, 2.0]) == s.Estimate(2.0, None, None, 3), "a range is no 95 % interval"
    assert s.median([1.0] * 5).low is None and s.median([1.0] * 6).low == 1.0
    assert s.median([1.0, float("nan"), 3.0]).n == 2
    assert s.percentile(range(19), 95) is None and s.percentile(range(20), 95) is not None
    assert s.percentile(range(99), 99) is None and s.percentile(range(100), 99) is not None
    assert s.percentile([5.0], 50) == 5.0


@settings(max_examples=20, deadline=None)
@given(st.lists(st.floats(0.5, 100), min_size=6, max_size=20), st.sampled_from([0.125, 2.0, 1024.0]))
def test_units_do_not_matter(values, scale):
    plain, scaled = s.median(values), s.median(np.array(values) * scale)
    assert scaled == s.Estimate(plain.value * scale, plain.low * scale, plain.high * scale, plain.n)


def _keys(design, n):
    if design == "crossed":
        return [k % 5 for k in range(n)], [k // 5 for k in range(n)]
    if design == "nested":
        return [k % 5 for k in range(n)], list(range(n))
    return list(range(n)), list(range(n))


@pytest.mark.parametrize("design", ["crossed", "nested", "distinct"])
def test_ratio_of_a_series_to_itself_is_one(design):
    x = np.random.default_rng(1).lognormal(size=25)
    e = s.ratio_of_medians(x, x, *_keys(design, 25))
    assert (e.value, e.low, e.high, e.n) == (1.0, 1.0, 1.0, 25)


@pytest.mark.parametrize("design", ["crossed", "nested", "distinct"])
def test_ratio_scales_and_is_deterministic(design):
    rng = np.random.default_rng(2)
    x, y = rng.lognormal(size=30), rng.lognormal(size=30)
    keys = _keys(design, 30)
    one, two = s.ratio_of_medians(x, y, *keys), s.ratio_of_medians(8 * x, y, *keys)
    assert (two.value, two.low, two.high) == pytest.approx(
        (8 * one.value, 8 * one.low, 8 * one.high), rel=1e-12
    )
    assert one == s.ratio_of_medians(x, y, *keys)


@pytest.mark.parametrize("design", ["crossed", "nested", "distinct"])
def test_interval_of_a_paired_ratio_covers(design, monkeypatch):
    """Prompts differ in length alike for both arms: pairing must keep the interval near the truth of 2."""
    monkeypatch.setattr(s, "RESAMPLES", 400)
    rng, runs, hits, widths = np.random.default_rng(3), 200, 0, []
    prompts, blocks = _keys(design, 25)
    for _ in range(runs):
        base = rng.lognormal(sigma=0.3, size=25)[prompts]
        over = 2 * base * rng.lognormal(sigma=0.05, size=25)
        under = base * rng.lognormal(sigma=0.05, size=25)
        e = s.ratio_of_medians(over, under, prompts, blocks)
        hits += e.low <= 2 <= e.high
        widths.append(e.high - e.low)
    assert hits / runs >= 0.90
    assert np.median(widths) < 0.5


def test_resampling_prompts_widens_the_interval_when_prompts_differ():
    """Forty pairs from five prompts are not forty independent pairs."""
    rng = np.random.default_rng(4)
    prompts = np.arange(40) % 5
    speed = np.array([1.0, 1.5, 2.0, 2.5, 3.0])[prompts]
    under = rng.lognormal(sigma=0.01, size=40)
    clustered = s.ratio_of_medians(speed * under, under, list(prompts), range(40))
    naive = s.ratio_of_medians(speed * under, under, range(40), range(40))
    assert clustered.high - clustered.low > 1.3 * (naive.high - naive.low)


def test_weighted_median_equals_the_median_of_repeats():
    rng = np.random.default_rng(5)
    x, weights = rng.normal(size=9), rng.integers(0, 4, size=(50, 9))
    weights[:, 0] += 1
    expected = [np.median(np.repeat(x, w)) for w in weights]
    assert s._weighted_medians(x, weights) == pytest.approx(expected, abs=0)


def test_mean_covers_at_small_and_large_n():
    rng = np.random.default_rng(6)
    for n in (3, 20):
        estimates = [s.mean(rng.normal(size=n)) for _ in range(300)]
        assert np.mean([e.low <= 0 <= e.high for e in estimates]) > 0.89


def test_ratio_of_sums_weighs_prompts_by_their_length_and_covers():
    two = s.ratio_of_sums([2, 30], [1, 10])
    assert (two.value, two.low, two.high) == pytest.approx(
        (32 / 11, 0.80889, 5.00929), abs=1e-4
    ) and two.n == 2
    assert s.ratio_of_sums([], []) is None and s.ratio_of_sums([0.0], [0.0]) is None
    assert s.ratio_of_sums([6.0], [3.0]) == s.Estimate(2.0, None, None, 1)
    rng = np.random.default_rng(6)
    covered = []
    for _ in range(400):
        cycles = rng.integers(20, 40, size=24)
        tokens = cycles * rng.normal(2.2, 0.4, size=24)
        result = s.ratio_of_sums(tokens, cycles)
        covered.append(result.low <= 2.2 <= result.high)
    assert 0.91 < np.mean(covered) < 0.985


def test_paired_difference_is_paired():
    a = np.tile([0.0, 1.0], 20)
    assert s.paired_difference(a, a) == s.Estimate(0.0, 0.0, 0.0, 40)
    assert s.paired_difference(a, 1 - a).low < 0 < s.paired_difference(a, 1 - a).high
    with pytest.raises(ValueError, match="differ in length"):
        s.paired_difference([1, 2], [1])


def test_wilson_known_values():
    e = s.wilson(0, 10)
    assert e.value == 0 and e.low == pytest.approx(0, abs=1e-12) and e.high == pytest.approx(0.2775, abs=1e-4)
    e = s.wilson(8, 10)
    assert (e.low, e.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    with pytest.raises(ValueError):
        s.wilson(3, 2)


@pytest.mark.parametrize("exponent", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_exponent_of_an_exact_power_law(exponent):
    x = np.array([16, 32, 64, 128])
    e = s.loglog_slope(x, 3 * x**exponent)
    assert e.value == pytest.approx(exponent, abs=1e-9)
    assert e.low == pytest.approx(exponent, abs=1e-6) and e.high == pytest.approx(exponent, abs=1e-6)


def test_exponent_with_noise_covers_and_needs_points():
    rng, x = np.random.default_rng(7), np.array([1, 2, 4, 8, 16, 32.0])
    fits = [s.loglog_slope(x, x * rng.lognormal(sigma=0.1, size=6)) for _ in range(300)]
    assert 0.9 < np.mean([e.low <= 1 <= e.high for e in fits]) < 0.99
    assert s.loglog_slope([4, 4], [1, 2]) is None
    assert s.loglog_slope([1, 2], [1, 4]) == s.Estimate(pytest.approx(2.0), None, None, 2)


def test_holm_known_values():
    assert s.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert s.holm([0.9, 0.8]) == pytest.approx([1.0, 1.0])
    assert s.holm([]).size == 0
    with pytest.raises(ValueError):
        s.holm([1.2])


def test_medians_known_to_a_few_percent_fix_an_exponent():
    """Four sizes of linear time: residuals of four points alone gave 1.0 [0.6, 1.3]."""
    x, factor = np.array([8, 16, 32, 64.0]), np.array([1.0, 1.03, 0.98, 1.01])
    y = x * factor
    law = s.power_law(x, y, y * 0.98, y * 1.02)
    assert law.exponent.low < 1 < law.exponent.high and law.exponent.high - law.exponent.low < 0.06
    assert [round(e.value, 1) for e in law.local] == [1.0, 0.9, 1.0] and all(
        e.low < e.high for e in law.local
    )
    assert 0 < law.misfit < 0.05
    wide = s.power_law(x, y, y * 0.8, y * 1.2)
    assert wide.exponent.high - wide.exponent.low > 5 * (law.exponent.high - law.exponent.low)


def test_what_is_no_power_law_says_so():
    x = np.array([8, 16, 32, 64.0])
    y = 10 + x**2 / 16
    law = s.power_law(x, y, y * 0.99, y * 1.01)
    assert law.misfit > 0.1 and law.local[0].high < law.exponent.value < law.local[-1].low


def test_counts_have_the_interval_of_their_residuals():
    none = [float("nan")] * 4
    law = s.power_law([1, 2, 4, 8], [3, 6, 12, 24], none, none)
    assert law.exponent.value == pytest.approx(1) and law.local[0] == s.Estimate(
        pytest.approx(1), None, None, 2
    )
    assert s.power_law([2, 2], [1, 3], none[:2], none[:2]) is None


def test_the_interval_of_an_exponent_covers_it():
    rng, hits = np.random.default_rng(3), 0
    x = np.array([4, 8, 16, 32.0])
    for _ in range(300):
        y = x**0.7 * np.exp(rng.normal(0, 0.02, 4))
        e = s.power_law(x, y, y * np.exp(-0.0392), y * np.exp(0.0392)).exponent
        hits += e.low <= 0.7 <= e.high
    assert 0.92 < hits / 300 < 0.99
