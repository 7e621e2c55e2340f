import math
import random

import pytest
from scipy.stats import binom

from pardec.measure.stopping import Precise, median_half_width


def test_no_interval_below_six():
    assert median_half_width([1.0] * 5) == math.inf
    assert median_half_width([1.0] * 6) == 0


def test_known_order_statistics():
    # n = 6: minimum and maximum (coverage 1 - 2/64). n = 10: second and ninth (coverage 0.979).
    assert median_half_width([1, 2, 3, 4, 5, 6]) == pytest.approx(2.5 / 3.5)
    assert median_half_width(list(range(1, 11))) == pytest.approx((9 - 2) / 2 / 5.5)


def test_interval_covers_the_median_of_a_skewed_law():
    draw = random.Random(7)
    hits = 0
    for _ in range(2000):
        values = sorted(draw.expovariate(1) for _ in range(15))
        # Ranks 4 and 12 of 15, which is what the half-width is made of.
        width = median_half_width(values)
        assert width == pytest.approx((values[11] - values[3]) / 2 / values[7])
        hits += values[3] <= math.log(2) <= values[11]
    assert 0.95 <= hits / 2000 <= 0.985


def test_noise_keeps_sampling_going():
    rule, draw = Precise(0.01, 6), random.Random(1)
    for _ in range(30):
        rule.add(draw.uniform(1, 2))
    assert not rule.finished()


@pytest.mark.parametrize("n", [6, 9, 40, 999, 1030, 1500, 5000])
def test_the_ranks_are_those_of_the_binomial_law_however_many_samples(n):
    values = [1000.0 + k for k in range(n)]
    rank = int(binom.ppf(0.025, n, 0.5))
    low, high = values[rank - 1], values[n - rank]
    assert median_half_width(values[::-1]) == pytest.approx((high - low) / 2 / (1000 + (n - 1) / 2))
