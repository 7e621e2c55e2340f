"""Cached diffusion: exact where it says so, what a pass forwards and sees, the factor rule, and its limits."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from pardec.common.errors import UserError
from pardec.decoding.batching import pad_left, prompt_seed
from pardec.decoding.cached_diffusion import CachedDiffusion
from pardec.decoding.commits import by_factor
from pardec.decoding.masked_diffusion import MaskedDiffusion
from pardec.models.architectures.config import PositionConfig
from tests.reference.models import EOS, WORDS, Table, backbone
from tests.unit.test_decoding_masked_diffusion import KINDS, PROMPTS, SEEDS

Settings = CachedDiffusion.Settings
MODEL = backbone(causal=False)
SHIFTED = backbone(causal=False, shift=True, qkv_bias=True)
PLAIN = [kind for kind in KINDS if "cfg_scale" not in kind]


def decode(settings, model=MODEL, prompts=PROMPTS, seeds=SEEDS, new_tokens=12, kind=CachedDiffusion):
    return kind(settings).decode(model, pad_left(prompts, seeds, 0), new_tokens)


@pytest.mark.parametrize("wide", [0, 512])
@effort(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=4),
    kind=st.sampled_from(PLAIN),
    cache=st.sampled_from(["prefix", "dual"]),
    shift=st.booleans(),
)
def test_refreshing_every_pass_is_the_plain_sampler(monkeypatch, wide, prompts, kind, cache, shift):
    monkeypatch.setattr("pardec.decoding.masked_diffusion.WIDE", wide)
    model, seeds = SHIFTED if shift else MODEL, [prompt_seed(2, str(row)) for row in range(len(prompts))]
    plain = decode(MaskedDiffusion.Settings(**kind), model, prompts, seeds, kind=MaskedDiffusion)
    for extra in ({"cache": "none"}, {"cache": cache, "refresh": 1}):
        exact = decode(Settings(**kind, **extra), model, prompts, seeds)
        assert torch.equal(exact.tokens, plain.tokens)
        assert (exact.nfe, exact.token_forwards) == (plain.nfe, plain.token_forwards)


@pytest.mark.parametrize("cache", ["prefix", "dual"])
@pytest.mark.parametrize("kind", [{"steps": 3, "block": 4}, {"threshold": 0.0, "block": 4}], ids=str)
def test_one_pass_a_block_uses_no_cache(kind, cache):
    plain = decode(MaskedDiffusion.Settings(**kind), kind=MaskedDiffusion)
    assert torch.equal(decode(Settings(**kind, cache=cache)).tokens, plain.tokens)


@effort(max_examples=15, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=4),
    kind=st.sampled_from(
        [{"block": 4}, {"block": 4, "refresh": 3}, {"block": 3, "refresh": 50}, {"block": 6, "factor": 1.0}]
    ),
    cache=st.sampled_from(["prefix", "dual"]),
    shift=st.booleans(),
)
def test_a_batch_is_its_rows(prompts, kind, cache, shift):
    """Left padding and other rows change nothing, whatever is kept. Early ends are left out: there a row's
    neighbours decide how many passes are made between two refreshes."""
    model, settings = SHIFTED if shift else MODEL, Settings(**{**kind, "factor": None}, cache=cache)
    seeds = [prompt_seed(1, str(row)) for row in range(len(prompts))]
    together = decode(settings, model, prompts, seeds).tokens.tolist()
    alone = [
        decode(settings, model, [p], [s]).tokens[0].tolist() for p, s in zip(prompts, seeds, strict=True)
    ]
    assert together == alone


def slow(model, prompt, new_tokens, settings):
    """The dual or prefix cache by definition: attention over stored keys and values, one layer at a time."""
    mask, by = model.info.mask_id, 1 if model.info.shift else 0
    block, width = settings.block, len(prompt) + new_tokens
    row = torch.tensor([prompt + [mask] * new_tokens])
    store, passes, since, settled, before = None, 0, 0, 0, -1
    for start in range(len(prompt), width, block):
        for _ in range(block):
            full = since == 0 or (start != before if settings.refresh is None else since >= settings.refresh)
            first = 0 if full else min(start - by, settled)
            last = start + block if settings.cache == "dual" and not full else width
            logits, store = forward(model, row, store, first, last)
            since, settled, before = (1 if full else since + 1), start, start
            lines = logits[start - by - first : start - by + block - first]
            lines[:, mask] = -math.inf
            chances = lines.softmax(-1).amax(-1)
            chances[row[0, start : start + block] != mask] = -1
            place = int(chances.argmax())
            row[0, start + place] = int(lines[place].argmax())
            passes += 1
    return row[0, len(prompt) :].tolist()


def forward(model, row, store, first, last):
    """Return logits of columns first..last-1 and the stored keys and values, theirs replaced; float64."""
    functional, config = torch.nn.functional, model.config
    heads, groups, width = config.heads, config.kv_heads, config.head_dim
    x = model.embedding[row[0, first:last]].double()
    cos, sin = (table[first:last].double() for table in (model.cos, model.sin))
    store = [None] * config.layers if store is None else store
    for index, layer in enumerate(model.layers):
        normed = functional.rms_norm(x, (config.hidden,), layer.input_norm.double(), config.norm_eps)
        bias = None if layer.qkv_bias is None else layer.qkv_bias.double()
        parts = functional.linear(normed, layer.qkv.double(), bias).view(len(x), -1, width)
        query, key, value = parts.split([heads, groups, groups], 1)
        query, key = (part * cos + part.roll(width // 2, -1) * sin for part in (query, key))
        if store[index] is None:
            store[index] = [key.clone(), value.clone()]
        store[index][0][first:last], store[index][1][first:last] = key, value
        keys, values = (kept.repeat_interleave(heads // groups, 1) for kept in store[index])
        scores = torch.einsum("qhd,khd->hqk", query, keys) / math.sqrt(width)
        mixed = torch.einsum("hqk,khd->qhd", scores.softmax(-1), values).reshape(len(x), -1)
        x = x + mixed @ layer.out.double().T
        normed = functional.rms_norm(x, (config.hidden,), layer.post_norm.double(), config.norm_eps)
        gate, up = (normed @ layer.gate_up.double().T).chunk(2, -1)
        x = x + (functional.silu(gate) * up) @ layer.down.double().T
    x = functional.rms_norm(x, (config.hidden,), model.norm.double(), config.norm_eps)
    return x @ model.head.double().T, store


@pytest.mark.parametrize("shift", [False, True])
@pytest.mark.parametrize("refresh", [None, 2, 5, 50])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
@torch.no_grad()
@pytest.mark.parametrize("wide", [0, 512])
def test_equals_the_cache_by_definition(monkeypatch, wide, cache, refresh, shift):
    monkeypatch.setattr("pardec.decoding.masked_diffusion.WIDE", wide)
    settings = Settings(block=4, cache=cache, refresh=refresh)
    model = SHIFTED if shift else MODEL
    for row, prompt in enumerate(PROMPTS):
        expected = slow(model, prompt, 12, settings)
        assert decode(settings, model, [prompt], SEEDS[row : row + 1]).tokens[0].tolist() == expected


@pytest.mark.parametrize("refresh", [None, 50])
@pytest.mark.parametrize("cache", ["prefix", "dual"])
def test_a_cache_is_an_approximation(cache, refresh):
    """Otherwise the tests above would show nothing."""
    draw = torch.Generator().manual_seed(1)
    prompts = [torch.randint(4, WORDS, (5,), generator=draw).tolist() for _ in range(20)]
    kept = decode(Settings(block=4, cache=cache, refresh=refresh), SHIFTED, prompts, None)
    assert not torch.equal(
        kept.tokens, decode(Settings(block=4, cache="none"), SHIFTED, prompts, None).tokens
    )


def test_what_a_pass_forwards():
    prompt = [PROMPTS[0]]  # 4 tokens, canvas 12: 16 columns
    whole, tail = 16, {0: 12, 4: 8, 8: 4}
    seen = {
        c: decode(Settings(block=4, cache=c), prompts=prompt, seeds=[0]).token_forwards
        for c in ("prefix", "dual")
    }
    assert seen["prefix"] == sum(whole + 3 * tail[start] for start in tail)
    assert seen["dual"] == 3 * (whole + 3 * 4)
    late = decode(Settings(block=4, cache="dual", refresh=50), prompts=prompt, seeds=[0]).token_forwards
    # One pass over everything; at each later block one over the block before it too.
    assert late == whole + 3 * 4 + 2 * (8 + 3 * 4)


def test_the_factor_rule():
    chances = torch.tensor([[0.99, 0.5, 0.97, 0.9, 0.2]])
    # In order .99 .97 .9 .5 .2: (n + 1)(1 - p) = .02 .09 .4 2.5 4.8
    for factor, chosen in ((0.01, []), (0.05, [0]), (0.1, [0, 2]), (1.0, [0, 2, 3]), (3.0, [0, 1, 2, 3])):
        assert by_factor(-chances.log(), factor)[0].nonzero()[:, 0].tolist() == chosen
    hidden = -chances.log()
    hidden[0, 0] = math.inf
    assert by_factor(hidden, 0.1)[0].nonzero()[:, 0].tolist() == [2]


def test_a_greater_factor_takes_fewer_passes():
    chances = torch.tensor([0.99, 0.5, 0.97, 0.9, 0.2, 0.6])
    table = torch.zeros(6, WORDS)
    table[:, 7] = (chances / (1 - chances) * (WORDS - 2)).log()  # the mask token takes no part
    # At 1: three, then two of .6 .5 .2 (2 * .4 < 1, 3 * .5 > 1): one each, so .6, .5 and .2 take a pass each.
    for factor, passes in ((1e-6, 6), (0.1, 5), (1.0, 4), (100.0, 1)):
        settings = Settings(factor=factor, cache="none")
        assert decode(settings, Table(table), [[1]], [0], 6).nfe == passes


def test_decoding_stops_where_every_row_has_ended():
    model = backbone(causal=False, stop_ids=(21,))  # what this model likes best
    ended = decode(Settings(block=3, after_eos="fill"), model)
    full = decode(Settings(block=3), model)
    assert bool((full.tokens == 21).any(1).all()) and ended.nfe < full.nfe
    for row, length in zip(ended.tokens.tolist(), ended.useful.tolist(), strict=True):
        assert row[length] in (21, EOS) and set(row[length + 3 :]) <= {EOS}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"cfg_scale": 1.0}, "cfg_scale"),
        ({"cache": "none", "refresh": 2}, "refresh"),
        ({"factor": 1.0, "threshold": 0.5}, "two rules"),
        ({"factor": 1.0, "remasking": "random"}, "low_confidence"),
        ({"block": 5}, "does not divide"),
    ],
)
def test_settings_that_cannot_work(settings, message):
    with pytest.raises(UserError, match=message):
        decode(Settings(**settings))


class Made(TorchDispatchMode):
    """Remembers the precision and the size of every tensor that an operation gives."""

    def __init__(self):
        super().__init__()
        self.tensors = set()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        given = operation(*args, **(kwargs or {}))
        for one in given if isinstance(given, (tuple, list)) else (given,):
            if isinstance(one, torch.Tensor):
                self.tensors.add((one.dtype, one.numel()))
        return given


@pytest.mark.parametrize("settings", [{}, {"threshold": 0.9}, {"factor": 1.0}, {"eos": "defer"}], ids=str)
def test_the_sampler_makes_no_large_copy_of_the_logits(settings, monkeypatch):
    words, part = 3000, 6000
    monkeypatch.setattr("pardec.decoding.masked_diffusion.PART", part)
    model = backbone(causal=False, vocab_size=words).bfloat16()
    with Made() as made:
        decode(Settings(block=12, **settings), model)
    assert (torch.bfloat16, len(PROMPTS) * 12 * words) in made.tensors  # the logits themselves
    assert not [size for kind, size in made.tensors if kind == torch.float64 and size >= words]
    most = max(len(PROMPTS) * words, part)
    assert max(size for kind, size in made.tensors if kind == torch.float32) <= most


def test_a_model_with_learned_positions_keeps_its_prefix_only():
    model = backbone(causal=False, positions=PositionConfig(12, 16))
    with pytest.raises(UserError, match="learned positions"):
        decode(Settings(block=4), model)
    exact = decode(Settings(block=4, cache="prefix", refresh=1), model)
    plain = decode(MaskedDiffusion.Settings(block=4), model, kind=MaskedDiffusion)
    assert torch.equal(exact.tokens, plain.tokens)
    assert decode(Settings(block=4, cache="prefix"), model).nfe == 12
