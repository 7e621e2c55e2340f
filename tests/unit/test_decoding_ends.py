"""One notion of an end: every exact decoder, counter and trainer ends a text at the same tokens."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.decoding.registry import DECODERS
from pardec.models.architectures.base import LanguageModel
from pardec.models.training.rollouts import roll_out
from tests.reference.drafts import draft_model, plain
from tests.reference.models import backbone

EXACT = {
    "autoregressive": {},
    "transformers_generate": {},
    "transformers_continuous": {},
    "jacobi": {"window": 4},
    "speculative": {"drafter": {"name": "ngram"}},
    "full_passes": {"passes": 12},
}
"""Decoders that claim the greedy tokens of a causal model, with settings of theirs."""
OTHER = {
    "vllm": "is not installed everywhere",
    "masked_diffusion": "needs a bidirectional model",
    "cached_diffusion": "needs a bidirectional model",
    "block_diffusion": "is exact with blocks of one token: test_decoding_block_diffusion.py",
    "flash_flood": "renders another model's roots",
    "table_lookup": "runs no model",
}
PROMPTS, NEW = [[1, 5, 9], [1, 7]], 12
RULES = [{"stop": "eos"}, {"eos": "ban"}, {}]


class Progress(Observer):
    """Tokens that each row has committed, and passes told of."""

    def __init__(self, rows):
        self.total, self.steps = torch.zeros(rows), 0

    def step(self, committed, final=None):
        self.total = self.total + torch.as_tensor(committed).float()
        self.steps += 1


def model(seed=0, **ends):
    return backbone(causal=True, seed=seed, **{"eos_id": 22, "stop_ids": (11,), **ends})


def decode(name, chosen, target, prompts=PROMPTS, new=NEW):
    decoder = build(name, chosen)
    if name == "speculative" and chosen["drafter"]["name"] == "dflash":
        decoder.companions = {"draft": draft_model(target)}
    decoder.prepare(target)
    progress = Progress(len(prompts))
    batch = pad_left(prompts, list(range(len(prompts))), target.info.pad_id)
    return decoder.decode(target, batch, new, progress), progress


def test_every_decoder_claims_exactness_or_says_why_not():
    assert EXACT.keys() | OTHER.keys() == set(DECODERS) and not EXACT.keys() & OTHER.keys()


def knows(name, rule):
    return rule.keys() <= DECODERS.load(name).Settings.model_fields.keys()


@pytest.mark.parametrize(
    ("name", "rule"), [(name, rule) for name in EXACT for rule in RULES if knows(name, rule)], ids=str
)
def test_exact_decoders_end_where_the_autoregressive_one_does(name, rule):
    for seed in range(4):
        target = model(seed)
        right, progress = decode("autoregressive", rule, target)
        result, mine = decode(name, EXACT[name] | rule, target)
        assert result.tokens.tolist() == right.tokens.tolist()
        assert result.useful.tolist() == right.useful.tolist()
        assert torch.equal(mine.total, progress.total)
        if "eos" in rule:
            assert not set(result.tokens.flatten().tolist()) & {22, 11}


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 40),
    ends=st.sampled_from([(22, (11,)), (22, ()), (None, (11, 4)), (None, ()), (5, (22, 11, 4))]),
    rule=st.sampled_from(RULES),
    window=st.sampled_from([None, 1, 3]),
    block=st.sampled_from([2, 5]),
)
def test_whatever_the_ends_are(seed, ends, rule, window, block):
    target = model(seed, eos_id=ends[0], stop_ids=ends[1])
    right, progress = decode("autoregressive", rule, target)
    drafted = {"drafter": {"name": "dflash"}, "block": block}
    for name, chosen in (("jacobi", {"window": window}), ("speculative", drafted)):
        result, mine = decode(name, chosen | rule, target)
        assert result.tokens.tolist() == right.tokens.tolist(), name
        assert result.useful.tolist() == right.useful.tolist(), name
        assert torch.equal(mine.total, progress.total), name


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 40),
    ends=st.sampled_from([(22, (11,)), (None, (11, 4)), (None, ()), (5, (22, 11, 4))]),
    pad=st.sampled_from([0, 22, 11, 5]),
    prompts=st.lists(
        st.lists(st.sampled_from([0, 1, 5, 7, 9, 11, 22]), min_size=1, max_size=6), min_size=1, max_size=3
    ),
    rule=st.sampled_from(RULES),
)
def test_ends_and_pads_within_prompts_end_nothing(seed, ends, pad, prompts, rule):
    """A pad that is an end, prompts that hold ends and pads: every exact decoder writes and counts the same."""
    target = model(seed, eos_id=ends[0], stop_ids=ends[1], pad_id=pad)
    right, _ = decode("autoregressive", rule, target, prompts)
    slow = [
        next((k for k, token in enumerate(row) if token in target.info.ends), NEW)
        for row in right.tokens.tolist()
    ]
    assert right.useful.tolist() == slow
    for name in EXACT.keys() - {"autoregressive", "transformers_continuous"}:  # the latter starts threads
        if knows(name, rule):
            written, _ = decode(name, EXACT[name] | rule, target, prompts)
            assert written.tokens.tolist() == right.tokens.tolist(), name
            assert written.useful.tolist() == slow, name


def test_full_passes_ban_every_end():
    result, _ = decode("full_passes", {"passes": NEW, "eos": "ban"}, model())
    assert result.tokens.tolist() == plain(model(), PROMPTS, NEW, eos="ban").tokens.tolist()
    free, _ = decode("full_passes", {"passes": NEW}, model())
    assert free.useful.tolist() == plain(model(), PROMPTS, NEW).useful.tolist()


def test_drafts_learn_from_texts_that_end_where_the_target_ends():
    for seed in range(4):
        target = model(seed)
        right = plain(target, PROMPTS, NEW, stop="eos")
        wanted = [
            row[: size + 1] for row, size in zip(right.tokens.tolist(), right.useful.tolist(), strict=True)
        ]
        assert roll_out(target, PROMPTS, NEW, torch.Generator()) == wanted
        banned = roll_out(target, PROMPTS, NEW, torch.Generator(), ban_eos=True)
        assert banned == plain(target, PROMPTS, NEW, eos="ban").tokens.tolist()


# The autoregressive decoder is the sequential reference of every drafting ratio.


class Scripted(LanguageModel):
    """Makes each row end after its own number of tokens."""

    def __init__(self, target, lengths):
        super().__init__()
        self.target, self.lengths, self.info, self.made = target, lengths, target.info, -1

    def new_cache(self, batch, size):
        self.made = -1
        return self.target.new_cache(batch, size)

    def forward(self, *args, **rest):
        logits, self.made = self.target(*args, **rest), self.made + 1
        for row, length in enumerate(self.lengths):
            logits[row, -1, [22, 11]] = torch.inf if length == self.made else -torch.inf
            logits[row, -1, 11] = -torch.inf
        return logits


def test_passes_end_with_the_last_row_and_progress_counts_what_a_row_keeps():
    target = Scripted(model(), (0, 20))
    result, progress = decode("autoregressive", {"stop": "eos"}, target, new=40)
    assert result.useful.tolist() == [0, 20] and result.nfe == progress.steps == 21
    assert progress.total.tolist() == [1, 21], "the end token of each row and what came before"
    one, progress = decode("autoregressive", {"stop": "eos"}, Scripted(model(), (0,)), [[1, 5, 9]], 40)
    assert one.nfe == 1 and float(progress.total[0]) == 1
