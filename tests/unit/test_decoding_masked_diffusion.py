"""The masked-diffusion decoder: schedule, commitment, batch invariance, limits, and the slow sampler."""

import math
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from pardec.common.errors import UserError
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left, prompt_seed
from pardec.decoding.masked_diffusion import MaskedDiffusion, schedule
from tests.reference import samplers
from tests.reference.models import EOS, MASK, WORDS, Table, backbone

Settings = MaskedDiffusion.Settings
MODEL = backbone(causal=False)
PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
SEEDS = [3, 2**62 + 5, 77]
KINDS = [
    {"steps": 1},
    {"steps": 5},
    {"steps": 12},
    {"steps": 4, "block": 6},
    {"steps": 6, "block": 4, "temperature": 1.5},
    {"steps": 4, "remasking": "random"},
    {"steps": 4, "block": 6, "remasking": "random", "temperature": 0.8},
    {"steps": 5, "cfg_scale": 1.5},
    {"steps": 5, "eos": "ban"},
    {"steps": 5, "eos": "defer", "temperature": 4.0},
    {"steps": 4, "block": 3, "after_eos": "fill", "temperature": 4.0},
    {"steps": 6, "remask": 0.4},
    {"steps": 4, "block": 6, "remask": 0.5, "temperature": 1.0},
    {"steps": 6, "block": 4, "remask": 0.7, "after_eos": "fill", "temperature": 4.0},
    {"threshold": 0.5},
    {"threshold": 0.9, "block": 4, "temperature": 1.0},
    {"threshold": 0.02, "block": 4, "temperature": 3.0},
    {"threshold": 0.7, "steps": 6, "block": 6, "cfg_scale": 0.5, "eos": "defer"},
    {"early_commit": 0.1},
    {"early_commit": 0.08, "steps": 6, "block": 6, "eos": "ban"},
    {"early_commit": 0.08, "steps": 6, "block": 4, "temperature": 1.0, "after_eos": "fill"},
    {"early_commit": 0.15, "threshold": 0.1},
    {"edit": 0.0, "steps": 4},
    {"edit": 0.05, "edit_passes": 3, "steps": 6, "block": 6},
    {"edit": 0.06, "edit_passes": 2, "threshold": 0.06, "early_commit": 0.1, "cfg_scale": 0.5},
]
CHANGING = {"remask", "edit"}
"""Settings by which a committed token may change."""


class Watch(Observer):
    """Keeps the canvas as it stands after each event, through the decoder's own view of it."""

    def __init__(self):
        self.committed, self.blocks = [], []

    def step(self, committed, final=None):
        self.committed.append(committed)
        if final is not None:
            self.block(final)

    def block(self, stop):
        self.blocks.append(stop)


def decode(prompts, seeds, settings, new_tokens=12, model=MODEL, observer=None):
    batch = pad_left(prompts, seeds, model.info.pad_id)
    return MaskedDiffusion(settings).decode(model, batch, new_tokens, observer or Observer())


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_equals_the_slow_sampler(kind, shift):
    settings = Settings(**kind)
    model = backbone(causal=False, shift=shift)
    for row, prompt in enumerate(PROMPTS):
        decoded = decode([prompt], SEEDS[row : row + 1], settings, model=model)
        tokens, passes = samplers.masked_diffusion(model, prompt, 12, SEEDS[row], settings)
        assert decoded.tokens[0].tolist() == tokens
        assert decoded.nfe == passes * (2 if settings.cfg_scale else 1)
        assert decoded.token_forwards == decoded.nfe * (len(prompt) + 12)


@effort(max_examples=30, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=5),
    kind=st.sampled_from(KINDS),
    order=st.randoms(use_true_random=False),
)
def test_a_batch_is_its_rows_in_any_order(prompts, kind, order):
    settings = Settings(**kind)
    seeds = [prompt_seed(1, str(row)) for row in range(len(prompts))]
    together = decode(prompts, seeds, settings).tokens.tolist()
    alone = [decode([p], [s], settings).tokens.tolist()[0] for p, s in zip(prompts, seeds, strict=True)]
    assert together == alone
    rows = list(range(len(prompts)))
    order.shuffle(rows)
    shuffled = decode([prompts[r] for r in rows], [seeds[r] for r in rows], settings).tokens.tolist()
    assert shuffled == [together[r] for r in rows]


def test_masking_again_makes_as_many_passes_and_tells_what_stands():
    """Off it is the plain sampler; on, passes commit more than stays, and the last one all."""
    watch, plain = Watch(), decode(PROMPTS, SEEDS, Settings(steps=4))
    assert torch.equal(decode(PROMPTS, SEEDS, Settings(steps=4, remask=0.0)).tokens, plain.tokens)
    batch = pad_left(PROMPTS, SEEDS, 0)
    again = MaskedDiffusion(Settings(steps=4, remask=0.5)).decode(MODEL, batch, 12, watch)
    assert (again.nfe, again.token_forwards) == (plain.nfe, plain.token_forwards)
    # 3, 6 and 9 tokens are due; half of them are masked again, so 2, 3 and 5 stand, and in the end 12.
    assert watch.committed == [2, 1, 2, 7]
    assert MASK not in again.tokens
    assert "remask needs" in MaskedDiffusion.check(Settings(remask=0.5, threshold=0.9), 12)


@effort(max_examples=30, deadline=None)
@given(
    prompt=st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9),
    kind=st.sampled_from([kind for kind in KINDS if not (CHANGING | {"early_commit"}) & set(kind)]),
    never=st.sampled_from([{"early_commit": 1e9}, {"edit": 1.0}]),
)
def test_a_bound_that_nothing_reaches_is_the_plain_sampler(prompt, kind, never):
    """The control of both mechanisms: token for token and pass for pass."""
    if MaskedDiffusion.check(Settings(**kind, **never), 12):
        assert "edit" in never, "an edit needs other settings, which are refused"
        return
    plain, other = (decode([prompt], [5], Settings(**kind, **extra)) for extra in ({}, never))
    assert torch.equal(plain.tokens, other.tokens) and plain.nfe == other.nfe


def test_a_gap_of_nothing_takes_one_pass_a_block_and_a_sure_row_ends_alone():
    assert decode(PROMPTS, SEEDS, Settings(early_commit=0.0, block=4)).nfe == 3
    table = torch.zeros(8, WORDS)
    table[:, 7] = torch.tensor([6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0, 6.0])
    for limit, passes in (
        (2.0, 1),
        (2.9, 4),
        (5.9, 7),
        (6.1, 8),
    ):  # thirds of eight passes begin at 0, 3 and 6
        decoded = decode([[1]], [0], Settings(early_commit=limit), 8, Table(table))
        assert decoded.nfe == passes, limit


def test_an_edit_replaces_what_later_passes_doubt():
    """Passes that only edit end as soon as one of them changes nothing, and are no more than allowed."""
    plain = decode(PROMPTS, SEEDS, Settings(steps=1))
    edited = decode(PROMPTS, SEEDS, Settings(steps=1, edit=0.0, edit_passes=1))
    assert (plain.nfe, edited.nfe) == (1, 2)
    assert not torch.equal(plain.tokens, edited.tokens)
    assert decode(PROMPTS, SEEDS, Settings(steps=1, edit=1.0, edit_passes=9)).nfe == 2
    (most,) = MaskedDiffusion.passes(Settings(steps=4, block=6, edit=0.0, edit_passes=3), 5, 12)
    assert most.count == 4 + 2 * 3


@given(length=st.integers(1, 300), steps=st.integers(1, 300))
def test_schedule_sums_to_the_canvas(length, steps):
    assume(steps <= length)
    shares = schedule(length, steps)
    assert (len(shares), sum(shares)) == (steps, length)
    assert min(shares) >= 1 and shares == sorted(shares, reverse=True) and shares[0] - shares[-1] <= 1


class Spy(MaskedDiffusion):
    """Records the canvas that each pass was given."""

    def decode(self, model, prompts, new_tokens, observer):
        self.seen = []
        plain = type(model).forward

        def forward(tokens, *rest, **named):
            self.seen.append(tokens[: prompts.size, prompts.length :].clone())
            return plain(model, tokens, *rest, **named)

        model.forward = forward
        try:
            return super().decode(model, prompts, new_tokens, observer)
        finally:
            del model.forward


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not CHANGING & set(kind)], ids=str)
def test_committed_tokens_never_change_and_counts_are_told(kind):
    watch, spy = Watch(), Spy(Settings(**kind))
    decoded = spy.decode(MODEL, pad_left(PROMPTS, SEEDS, 0), 12, watch)
    canvases = [*spy.seen, decoded.tokens]
    assert bool((canvases[0] == MASK).all()) and MASK not in decoded.tokens
    filled = spy.settings.after_eos == "fill"
    for (before, after), reported in zip(pairwise(canvases), watch.committed, strict=True):
        kept = before != MASK
        assert torch.equal(after[kept], before[kept])
        new = ((before == MASK) & (after != MASK)).sum(1)
        reported = torch.as_tensor(reported).expand(3)
        assert bool((reported <= new).all()) if filled else torch.equal(reported, new)
    length = spy.settings.block or 12
    if not filled:
        assert watch.blocks == list(range(length, 13, length))
        assert sum(torch.as_tensor(reported).expand(3) for reported in watch.committed).tolist() == [12] * 3
    assert watch.blocks[-1] == 12


def test_threshold_zero_takes_one_pass_a_block():
    assert decode(PROMPTS, SEEDS, Settings(threshold=0.0)).nfe == 1
    assert decode(PROMPTS, SEEDS, Settings(threshold=0.0, block=4)).nfe == 3
    assert torch.equal(
        decode(PROMPTS, SEEDS, Settings(threshold=0.0)).tokens,
        decode(PROMPTS, SEEDS, Settings(steps=1)).tokens,
    )


def test_threshold_one_is_the_schedule():
    """Even where float32 probabilities round to 1."""
    model = backbone(causal=False, scale=20.0)
    for kind in ({}, {"steps": 4}, {"block": 4}):
        sure = decode(PROMPTS, SEEDS, Settings(threshold=1.0, **kind), model=model)
        plain = decode(PROMPTS, SEEDS, Settings(**kind), model=model)
        assert torch.equal(sure.tokens, plain.tokens) and sure.nfe == plain.nfe


def test_threshold_one_is_never_passed():
    """Not even where the probability outside the top token underflows to exactly 0."""
    table = torch.zeros(6, WORDS)
    table[:, 7] = 1e4
    watch = Watch()
    assert decode([[1]], [0], Settings(threshold=1.0), 6, Table(table), watch).nfe == 6
    assert [int(reported) for reported in watch.committed] == [1] * 6
    assert decode([[1]], [0], Settings(threshold=0.999), 6, Table(table)).nfe == 1


def test_rows_of_a_batch_finish_a_block_at_different_passes():
    """Without this, the tests of batches would not see a row that waits for others."""
    settings = Settings(threshold=0.02, block=4, temperature=3.0)
    alone = [decode([p], [s], settings).nfe for p, s in zip(PROMPTS, SEEDS, strict=True)]
    assert len(set(alone)) > 1 and min(alone) < 12


def test_low_temperature_is_greedy_and_guidance_zero_is_none():
    plain = decode(PROMPTS, SEEDS, Settings(steps=6))
    assert torch.equal(decode(PROMPTS, SEEDS, Settings(steps=6, temperature=1e-7)).tokens, plain.tokens)
    nearly = decode(PROMPTS, SEEDS, Settings(steps=6, cfg_scale=1e-9))
    assert torch.equal(nearly.tokens, plain.tokens) and nearly.nfe == 2 * plain.nfe


def test_law_of_a_drawn_token():
    """Gumbel noise of scale T on the logits draws from softmax(logits / T)."""
    temperature, count = 1.6, 100_000
    table = torch.randn(1, WORDS, generator=torch.Generator().manual_seed(3)) * 2
    seeds = [prompt_seed(0, str(row)) for row in range(count)]
    settings = Settings(temperature=temperature)
    words = decode([[1]] * count, seeds, settings, 1, Table(table)).tokens[:, 0]
    table[:, MASK] = -math.inf
    law = (table[0].double() / temperature).softmax(-1).numpy()
    seen = np.bincount(words, minlength=WORDS)
    kept = law > 0
    assert seen[~kept].sum() == 0
    assert stats.chisquare(seen[kept], law[kept] / law[kept].sum() * count).pvalue > 1e-3


def test_great_logits_and_temperatures_do_not_overflow():
    """exp(logits) is infinite above 709 even in float64."""
    table = torch.zeros(4, WORDS)
    table[:, 7] = 3e4
    assert decode([[1]], [1], Settings(temperature=1.0), 4, Table(table)).tokens.tolist() == [[7] * 4]
    hot = decode([[1]] * 200, list(range(200)), Settings(temperature=100.0), 4, Table(table / 3e4)).tokens
    assert hot.unique().numel() == WORDS - 1


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_ranking_in_parts_changes_nothing(kind, monkeypatch):
    whole = decode(PROMPTS, SEEDS, Settings(**kind)).tokens
    monkeypatch.setattr("pardec.decoding.masked_diffusion.PART", 2 * 3 * WORDS)
    assert torch.equal(decode(PROMPTS, SEEDS, Settings(**kind)).tokens, whole)


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_leaving_out_what_is_committed_changes_nothing(kind, shift, monkeypatch):
    model = backbone(causal=False, shift=shift)
    whole = decode(PROMPTS, SEEDS, Settings(**kind), model=model)
    asked, plain = [], model.read
    monkeypatch.setattr(model, "read", lambda x: asked.append(x.shape[1]) or plain(x))
    monkeypatch.setattr("pardec.decoding.masked_diffusion.WIDE", 0)
    sparse = decode(PROMPTS, SEEDS, Settings(**kind), model=model)
    assert torch.equal(sparse.tokens, whole.tokens) and sparse.nfe == whole.nfe
    if kind == {"steps": 5}:
        assert asked == [12, 9, 6, 4, 2]


def test_logits_are_asked_for_the_block_alone():
    model = Table(torch.randn(12, WORDS))
    decode([[1, 5]], [0], Settings(steps=4, block=6), model=model)
    assert model.calls == [(0, 6), (0, 6), (6, 12), (6, 12)]


def test_end_tokens_banned_deferred_and_filled():
    table = torch.zeros(8, WORDS)
    table[torch.arange(8), torch.tensor([7, 8, EOS, 9, 10, 11, 12, 13])] = 9.0
    table[2, EOS] = 20.0
    model = Table(table)
    assert EOS not in decode([[1]], [0], Settings(eos="ban"), 8, model).tokens
    free = decode([[1]], [0], Settings(), 8, model)
    assert free.tokens[0].tolist() == [7, 8, EOS, 9, 10, 11, 12, 13] and free.useful.tolist() == [2]
    filled = decode([[1]], [0], Settings(after_eos="fill", block=4), 8, model)
    assert filled.tokens[0].tolist() == [7, 8, EOS, 9] + [EOS] * 4 and filled.nfe == 4

    for eos, first in (("free", 2), ("defer", 0)):
        spy = Spy(Settings(eos=eos))
        spy.decode(model_with_forward(table), pad_left([[1]], [0], 0), 8, Observer())
        assert (spy.seen[1][0] != MASK).nonzero().tolist() == [[first]]
        assert eos == "free" or (spy.seen[-1][0] == MASK).nonzero().tolist() == [[2]]


def model_with_forward(table):
    """A table model whose canvas passes through `forward`, where the spy listens."""

    class Heard(Table):
        def forward(self, tokens, *rest, **named):
            return self.table.expand(len(tokens), -1, -1).clone()

        def denoise(self, canvas, pad, start, stop, canvas_start=None, within=None):
            return self.forward(canvas)[:, start - canvas_start : stop - canvas_start]

    return Heard(table)


def test_threshold_stops_when_nothing_is_masked():
    table = torch.zeros(8, WORDS)
    table[:, 7] = torch.tensor([30.0, 30.0, 30.0, 30.0, 30.0, 30.0, 0.1, 0.1])
    watch = Watch()
    decoded = decode([[1]], [0], Settings(threshold=0.9), 8, Table(table), watch)
    assert decoded.nfe == 3
    assert [int(reported) for reported in watch.committed] == [6, 1, 1]


@pytest.mark.parametrize(
    ("kind", "new_tokens", "says"),
    [
        ({"steps": 9}, 8, "steps 9 exceed new_tokens 8"),
        ({"block": 5}, 8, "block 5 does not divide"),
        ({"block": 16}, 8, "block 16 does not divide"),
        ({"steps": 3, "block": 4}, 8, "cannot be shared by 2 blocks"),
        ({"threshold": 0.5, "remasking": "random"}, 8, "threshold needs remasking"),
        ({}, 0, "at least 1"),
        ({"remask": 0.5, "early_commit": 2.5}, 8, "early_commit commits as much as it likes"),
        ({"edit": 0.5, "remask": 0.5}, 8, "edit needs remask 0"),
        ({"edit": 0.5, "temperature": 1.0}, 8, "edit needs temperature 0"),
        ({"edit": 0.5, "remasking": "entropy"}, 8, "edit needs remasking low_confidence"),
        ({"edit": 0.5, "after_eos": "fill"}, 8, "edit needs after_eos decode"),
        ({"edit_passes": 2}, 8, "edit_passes need edit"),
    ],
)
def test_settings_that_cannot_work_are_refused(kind, new_tokens, says):
    assert says in MaskedDiffusion.check(Settings(**kind), new_tokens)
    with pytest.raises(UserError, match=says):
        decode([[1]], [0], Settings(**kind), new_tokens)


@pytest.mark.parametrize(
    "kind", [{"threshold": 1.1}, {"steps": 0}, {"temperature": -1.0}, {"stepz": 4}], ids=str
)
def test_settings_out_of_bounds_are_refused(kind):
    with pytest.raises(ValueError):
        Settings(**kind)


def test_a_model_without_a_mask_token_is_refused():
    with pytest.raises(UserError, match="no mask token"):
        decode([[1]], [0], Settings(), 4, backbone(causal=True))
