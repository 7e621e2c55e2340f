"""Counter-based random numbers: uniform, independent, and a row's own."""

import math

import numpy as np
import pytest
import torch
from scipy import stats

from pardec.decoding.noise import GAMMA, _mix, _unit, gumbel, uniform


def seeds(*values):
    return torch.tensor(values, dtype=torch.long)


def test_the_hash_is_splitmix64():
    """The first outputs of SplitMix64 from state 1234567, as its published test vector gives them."""
    state = 1234567 + torch.arange(1, 4) * GAMMA
    words = [word % (1 << 64) for word in _mix(state).tolist()]
    assert words == [6457827717110365317, 3203168211198807973, 9817491932198370423]


def test_numbers_are_uniform():
    sample = uniform(seeds(7), 3, (200_000,))[0].numpy()
    assert stats.kstest(sample, "uniform").pvalue > 1e-3
    counts = np.histogram(sample, 64, (0, 1))[0]
    assert stats.chisquare(counts).pvalue > 1e-3


def test_neighbouring_seeds_streams_and_places_are_independent():
    by_seed = uniform(torch.arange(400), 0, (400,)).numpy()
    by_stream = np.stack([uniform(seeds(1), stream, (400,))[0].numpy() for stream in range(400)])
    for table in (by_seed, by_stream):
        assert stats.kstest(table[:, 0], "uniform").pvalue > 1e-3
        for one, other in ((table[1:], table[:-1]), (table[:, 1:], table[:, :-1])):
            correlation = np.corrcoef(one.ravel(), other.ravel())[0, 1]
            assert abs(correlation) < 4 / math.sqrt(one.size)
        pairs = np.histogram2d(table[1:].ravel(), table[:-1].ravel(), 8, ((0, 1), (0, 1)))[0]
        assert stats.chisquare(pairs.ravel()).pvalue > 1e-3


def test_no_number_repeats_across_seeds_streams_and_places():
    table = torch.stack([uniform(torch.arange(50), stream, (200,)) for stream in range(20)])
    assert table.unique().numel() == table.numel()


def test_a_row_has_its_own_numbers():
    together = uniform(seeds(5, 9, 2**62), 4, (3, 2))
    for row, seed in enumerate((5, 9, 2**62)):
        assert torch.equal(together[row], uniform(seeds(seed), 4, (3, 2))[0])
    assert torch.equal(uniform(seeds(5), 4, (2,), 3)[0], together[0].reshape(-1)[3:5])
    assert torch.equal(uniform(seeds(5), 4, (6,))[0], together[0].reshape(-1))
    assert torch.equal(uniform(seeds(5), 4, (2,))[0], together[0].reshape(-1)[:2])


@pytest.mark.parametrize("word", [0, -1, 2**63 - 1, -(2**63)])
def test_the_extreme_hashes_stay_inside_and_their_gumbel_is_finite(word):
    number = _unit(torch.tensor([word])).item()
    assert 0 < number < 1
    assert math.isfinite(-math.log(-math.log(number)))


def test_gumbel_law():
    sample = gumbel(seeds(11), 0, (100_000,))[0].numpy()
    assert stats.kstest(sample, "gumbel_r").pvalue > 1e-3
    assert np.isfinite(sample).all()
