"""Block diffusion: autoregression at one end, masked diffusion at the other, and an exact cache between them."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.decoding import block_run
from pardec.decoding.autoregressive import Autoregressive
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.block_diffusion import BlockDiffusion
from pardec.decoding.masked_diffusion import MaskedDiffusion
from pardec.models.architectures.blocks import block_causal
from tests.reference.models import EOS, MASK, WORDS, backbone

Settings = BlockDiffusion.Settings


def block_model(**changes):
    """A random model that never writes its mask token, whoever asks it."""
    model = backbone(causal=True, family="block_diffusion", mask_id=MASK, **changes)
    model.register_forward_hook(lambda _, __, logits: logits.index_fill(-1, torch.tensor([MASK]), -math.inf))
    return model


SHIFTED = block_model(shift=True)
PLAIN = block_model()
RULES = [
    {},
    {"share": 2},
    {"share": 3, "remasking": "margin"},
    {"share": 2, "remasking": "entropy"},
    {"threshold": 0.05},
    {"threshold": 0.02, "remasking": "margin", "share": 2},
    {"factor": 3.0},
    {"entropy_bound": 4.0, "remasking": "entropy"},
    {"threshold": 0.05, "stop": "eos"},
    {"share": 2, "stop": "eos"},
    {"threshold": 0.05, "eos": "ban"},
    {"share": 2, "sub_block": 2},
    {"share": 20, "factor": 100.0, "sub_block": 2},
    {"threshold": 0.05, "sub_block": 3, "stop": "eos"},
]
PROMPTS = st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=4)


def decode(
    settings, model=SHIFTED, prompts=((5, 9, 11), (7,)), new_tokens=12, kind=BlockDiffusion, observer=None
):
    batch = pad_left([list(prompt) for prompt in prompts], None, 0)
    return kind(kind.Settings(**settings)).decode(model, batch, new_tokens, observer or Observer())


@effort(max_examples=20, deadline=None)
@given(prompts=PROMPTS, stop=st.sampled_from(["length", "eos"]), eos=st.sampled_from(["free", "ban"]))
def test_blocks_of_one_token_are_autoregression(prompts, stop, eos):
    """The same tokens, passes and positions as the sequential decoder on the same weights."""
    plain = decode({"stop": stop, "eos": eos}, prompts=prompts, kind=Autoregressive)
    block = decode({"block": 1, "stop": stop, "eos": eos}, prompts=prompts)
    assert torch.equal(block.tokens, plain.tokens)
    assert torch.equal(block.useful, plain.useful)
    assert (block.nfe, block.token_forwards) == (plain.nfe, plain.token_forwards)


class WholeCanvas:
    """The weights of a block model as masked diffusion sees them: no cache, the canvas one block."""

    def __init__(self, model):
        self.model, self.info = model, model.info

    def denoise(self, canvas, pad, start, stop, canvas_start, within=None):
        by = 1 if self.info.shift else 0
        layout = block_causal(canvas_start, canvas.shape[1] - canvas_start, canvas.shape[1], pad)
        return self.model(canvas, keep=slice(start - by, stop - by), layout=layout)


@effort(max_examples=20, deadline=None)
@given(
    prompts=PROMPTS,
    rule=st.sampled_from([rule for rule in RULES if not {"stop", "sub_block"} & set(rule)]),
    temperature=st.sampled_from([0, 0, 0.5, 2]),
    shift=st.booleans(),
)
def test_one_block_is_masked_diffusion(prompts, rule, temperature, shift):
    """At a temperature too: the random numbers of a pass are the same."""
    model = SHIFTED if shift else PLAIN
    share, rule = rule.get("share", 1), {**rule, "temperature": temperature}
    other = {key: value for key, value in rule.items() if key != "share"} | {"steps": 12 // share}
    plain = decode(other, WholeCanvas(model), prompts, kind=MaskedDiffusion)
    block = decode(rule, model, prompts)
    assert torch.equal(block.tokens, plain.tokens)
    assert block.nfe == plain.nfe


@pytest.mark.parametrize("wide", [0, 512])
@effort(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    prompts=PROMPTS,
    rule=st.sampled_from(RULES),
    block=st.sampled_from([1, 2, 3, 4, 5, 7, 12, None]),
    shift=st.booleans(),
)
def test_the_cache_is_exact(monkeypatch, wide, prompts, rule, block, shift):
    """Keys and values kept give what computing everything anew gives, in as many passes; and so do logits of masks
    alone, which a wide vocabulary gets."""
    monkeypatch.setattr(block_run, "WIDE", wide)
    model, settings = SHIFTED if shift else PLAIN, {**rule, "block": block}
    kept, anew = decode(settings, model, prompts), decode({**settings, "cache": False}, model, prompts)
    assert torch.equal(kept.tokens, anew.tokens)
    assert kept.nfe == anew.nfe
    assert kept.token_forwards <= anew.token_forwards or block in (1, 12, None)


@effort(max_examples=30, deadline=None)
@given(
    prompts=PROMPTS,
    rule=st.sampled_from(RULES),
    block=st.sampled_from([1, 2, 4, 5, None]),
    shift=st.booleans(),
)
def test_a_batch_is_its_rows(prompts, rule, block, shift):
    """Padding changes nothing, nor do rows that fill their blocks in other passes."""
    model, settings = SHIFTED if shift else PLAIN, {**rule, "block": block}
    together = decode(settings, model, prompts)
    alone = [decode(settings, model, [prompt]) for prompt in prompts]
    assert together.tokens.tolist() == [one.tokens[0].tolist() for one in alone]
    assert together.nfe == max(one.nfe for one in alone)


@effort(max_examples=20, deadline=None)
@given(
    prompt=st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9),
    rule=st.sampled_from([rule for rule in RULES if rule.get("stop") != "eos"]),
    block=st.integers(1, 12),
    shift=st.booleans(),
)
def test_the_slow_sampler_writes_the_same(prompt, rule, block, shift):
    """Against a sampler of plain loops, which forwards the finished tokens and one block, row by row."""
    model = SHIFTED if shift else PLAIN
    tokens, passes = slow(model, prompt, 12, Settings(**rule, block=block))
    quick = decode({**rule, "block": block}, model, [prompt])
    assert quick.tokens[0].tolist() == tokens
    assert quick.nfe == passes


def slow(model, prompt, new_tokens, settings):
    row, by, passes = list(prompt), int(model.info.shift), 0
    for start in range(0, new_tokens, settings.block):
        size = min(settings.block, new_tokens - start)
        region = [MASK] * size
        while MASK in region:
            layout = block_causal(len(prompt), start + size, settings.block)
            logits = model(torch.tensor([row + region]), layout=layout)[0].double()
            passes += 1
            lines = logits[len(row) - by : len(row) - by + size]
            lines[:, MASK] = -math.inf
            if settings.eos == "ban":
                lines[:, EOS] = -math.inf
            chances = lines.softmax(-1)
            top = chances.topk(2, -1).values
            entropy = -(chances * chances.clamp(min=1e-300).log()).sum(-1)
            doubt = {
                "low_confidence": 1 - top[:, 0],
                "margin": 1 - (top[:, 0] - top[:, 1]),
                "entropy": entropy,
            }
            doubts = doubt[settings.remasking].tolist()
            part = settings.sub_block or size
            allowed = [
                k for k in range(size) if region[k] == MASK and k // part == region.index(MASK) // part
            ]
            order = sorted(allowed, key=lambda k: (doubts[k], k))
            count = min(settings.share, len(order))
            if settings.threshold is not None:
                count = max(count, sum(1 - doubts[k] > settings.threshold for k in order))
            if settings.factor is not None:
                count = max(count, sum((n + 2) * doubts[k] < settings.factor for n, k in enumerate(order)))
            if settings.entropy_bound is not None:
                before = [sum(doubts[k] for k in order[:n]) for n in range(len(order))]
                count = max(count, sum(value <= settings.entropy_bound for value in before))
            for k in order[:count]:
                region[k] = int(lines[k].argmax())
        row += region
    return row[len(prompt) :], passes


class Watch(Observer):
    def __init__(self):
        self.seen, self.committed = [], []

    def step(self, committed, final=None):
        self.committed.append(committed)
        self.seen.append(final)

    def block(self, stop):
        raise AssertionError("a pass tells what is final once")


def test_blocks_are_reported_as_they_become_final():
    watch = Watch()
    result = decode({"block": 5, "share": 2}, observer=watch)
    assert watch.seen == [None, None, 5, None, None, 10, 12]
    assert watch.committed == [2, 2, 1, 2, 2, 1, 2]
    assert result.nfe == 7


def test_an_end_token_ends_a_row():
    """A model that always writes the end token needs one block, whatever the canvas."""
    model = backbone(causal=True, shift=True, family="block_diffusion", mask_id=MASK)
    with torch.no_grad():
        model.embedding[EOS] = 0
        model.head = torch.nn.Parameter(torch.zeros(WORDS, model.config.hidden))
        model.norm.fill_(0)
    stays = decode({"block": 4, "share": 4, "stop": "eos"}, model)
    assert stays.nfe == 3  # ties go to token 0, which is no end
    model.config = replace(model.config)
    model.info = replace(model.info, eos_id=0)
    ended = decode({"block": 4, "share": 1, "stop": "eos"}, model, new_tokens=12)
    assert ended.nfe == 1  # ties go to the leftmost place
    assert ended.useful.tolist() == [0, 0]
    assert (ended.tokens == 0).all()


def test_each_rule_has_an_off_position():
    """A bound of nothing commits the share alone; a bound of everything commits the block at once."""
    plain = decode({"block": 4})
    for rule in ({"threshold": 1.0}, {"factor": 1e-9}, {"threshold": 1.0, "remasking": "margin"}):
        off = decode({"block": 4, **rule})
        assert off.nfe == plain.nfe
        if "remasking" not in rule:
            assert torch.equal(off.tokens, plain.tokens)
    for rule in ({"threshold": 0.0}, {"factor": 100.0}, {"entropy_bound": 1000.0, "remasking": "entropy"}):
        assert decode({"block": 4, **rule}).nfe == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"threshold": 0.5, "factor": 1.0}, "two rules"),
        ({"entropy_bound": 1.0}, "needs remasking entropy"),
        ({"factor": 1.0, "remasking": "margin"}, "needs remasking low_confidence"),
    ],
)
def test_rules_that_do_not_go_together_are_refused(settings, words):
    assert words in BlockDiffusion.check(Settings(**settings), 12)
    with pytest.raises(UserError, match=words):
        decode(settings)


def test_a_model_without_a_mask_token_is_refused():
    with pytest.raises(UserError, match="no mask token"):
        decode({}, backbone(causal=True, mask_id=None))


@pytest.mark.parametrize("rule", [{"share": 2}, {"share": 3}, {"block": None}])
def test_planned_passes_are_those_made(rule):
    settings = {"block": 4, **rule}
    made = decode(settings, new_tokens=12)
    planned = BlockDiffusion.passes(Settings(**settings), 3, 12)
    assert sum(one.count for one in planned) == made.nfe
    assert sum(one.count * one.length for one in planned) == made.token_forwards


@effort(max_examples=15, deadline=None)
@given(prompts=PROMPTS, rule=st.sampled_from([{}, {"threshold": 0.05}]), block=st.sampled_from([1, 4, 5]))
def test_drawn_tokens_do_not_depend_on_the_batch_or_the_cache(prompts, rule, block):
    settings = {**rule, "block": block, "temperature": 1.5}

    def drawn(rows, seeds, **more):
        batch = pad_left([list(prompt) for prompt in rows], seeds, 0)
        return BlockDiffusion(Settings(**settings, **more)).decode(SHIFTED, batch, 12, Observer()).tokens

    seeds = list(range(len(prompts)))
    together = drawn(prompts, seeds)
    assert torch.equal(together, drawn(prompts, seeds, cache=False))
    alone = [drawn([prompt], [seed]) for prompt, seed in zip(prompts, seeds, strict=True)]
    assert torch.equal(together, torch.cat(alone))


def test_a_temperature_draws_from_the_model():
    """Blocks of one token at temperature 1: the share of each first token is its probability."""
    count = 4000
    batch = pad_left([[5, 9, 11]] * count, list(range(count)), 0)
    first = (
        BlockDiffusion(Settings(block=1, temperature=1)).decode(SHIFTED, batch, 1, Observer()).tokens[:, 0]
    )
    expected = SHIFTED(torch.tensor([[5, 9, 11]]))[0, -1].double().softmax(-1)
    shares = torch.bincount(first, minlength=WORDS) / count
    assert (shares - expected).abs().max() < 5 * (expected.max() / count) ** 0.5
    assert len(set(first.tolist())) > 10
