"""The ranks by which diffusion decoders commit: exact where the softmax saturates, ties to the left."""

import math

import numpy as np
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from pardec.decoding.commits import leftmost_smallest, surprisal
from tests.reference.models import WORDS


def test_confidence_ranks_where_the_softmax_rounds_to_one():
    margins = torch.tensor([30.0, 60.0, 20.0, 80.0, 40.0, 1.0])
    table = torch.zeros(6, WORDS)
    table[:, 7] = margins
    assert (table.softmax(-1)[:, 7] == 1).sum() == 5
    rank, choice = surprisal(table[None], None)
    assert choice.tolist() == [[7] * 6]
    assert rank[0].argsort().tolist() == margins.argsort(descending=True).tolist()
    exact = [math.log1p((WORDS - 1) * math.exp(-margin)) for margin in margins.tolist()]
    np.testing.assert_allclose(rank[0].numpy(), exact, rtol=1e-5)


def test_surprisal_of_any_token_is_the_log_softmax():
    logits = torch.randn(4, 6, WORDS, generator=torch.Generator().manual_seed(0)) * 3
    choice = torch.randint(0, WORDS, (4, 6), generator=torch.Generator().manual_seed(1))
    exact = -logits.double().log_softmax(-1).gather(-1, choice[..., None])[..., 0]
    torch.testing.assert_close(surprisal(logits, choice)[0].double(), exact, rtol=1e-5, atol=1e-5)


@given(st.lists(st.integers(0, 3), min_size=1, max_size=20), st.integers(1, 20))
def test_ties_go_left(values, count):
    assume(count <= len(values))
    result = leftmost_smallest(torch.tensor([values]).float(), count)[0].tolist()
    assert result == sorted(range(len(values)), key=lambda place: (values[place], place))[:count]
