"""Recycled n-grams in Jacobi decoding: what the pool knows, and that it decides passes and never tokens."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from test_decoding_jacobi import MODEL, Log, batches, decode

from pardec.decoding.jacobi import Jacobi
from pardec.decoding.recycling import Pool
from pardec.models.architectures.base import LanguageModel
from tests.reference.models import WORDS, backbone


@effort(max_examples=20, deadline=None)
@given(
    prompts=batches,
    seed=st.integers(0, 40),
    window=st.sampled_from([None, 3, 8]),
    ngram=st.integers(2, 4),
)
def test_an_empty_pool_is_plain_jacobi(prompts, seed, window, ngram):
    """Pass by pass."""
    model = backbone(causal=True, seed=seed, scale=3.0).double()
    traces = []
    for settings in ({}, {"recycle": 0, "ngram": ngram}):
        log = Log(len(prompts))
        result = decode(Jacobi, prompts, 20, model, log, init="random", window=window, **settings)
        traces.append((result.tokens.tolist(), result.nfe, log.committed, log.final))
    assert traces[0] == traces[1]


class Successor(LanguageModel):
    """Each token is followed by a fixed one."""

    def __init__(self, follow: list[int]):
        super().__init__()
        self.follow, self.info = torch.tensor(follow), MODEL.info

    def new_cache(self, *shape):
        return MODEL.new_cache(*shape)

    def forward(self, tokens, pad=None, cache=None, keep=None, canvas_start=None):
        cache.length += tokens.shape[1]
        logits = torch.nn.functional.one_hot(self.follow[tokens], WORDS).float()
        return logits if keep is None else logits[:, keep]


def test_recycling_spares_passes():
    """Where the last token decides the next, what was predicted behind a wrong guess is right wherever that token comes
    again: here every token comes again after nineteen others."""
    model = Successor([*range(4), *range(5, WORDS), 4])
    plain, recycled = (
        decode(Jacobi, [[1, 4]], 50, model, init="random", window=6, ngram=2, recycle=size)
        for size in (0, 99)
    )
    assert recycled.tokens.tolist() == plain.tokens.tolist()
    assert recycled.nfe < 0.8 * plain.nfe


def test_a_pool_follows_what_it_has_learned():
    pool = Pool(3, 2)
    pool.learn([9, 1, 2], 3)
    pool.learn([2, 3], 4)
    assert pool.follow([7, 1, 2], 5) == [3, 4]
    assert pool.follow([7, 1, 2], 1) == [3]
    pool.learn([1, 2], 5)  # the newest counts
    assert pool.follow([1, 2], 5) == [5]
    pool.learn([8, 8], 1)  # the oldest is forgotten: what follows 2, 3
    assert pool.follow([2, 3], 5) == [] and pool.follow([8, 8], 5) == [1]
    empty = Pool(2, 0)
    empty.learn([1], 2)
    assert empty.follow([1], 3) == []
