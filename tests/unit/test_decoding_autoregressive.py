"""The autoregressive decoder: equal to full recomputation, row by row, and to its exact law."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from scipy import stats

from pardec.common.errors import UserError
from pardec.decoding.autoregressive import Autoregressive, draw
from pardec.decoding.base import Observer
from pardec.decoding.batching import count_useful, pad_left, prompt_seed
from pardec.decoding.noise import uniform
from pardec.decoding.registry import DECODERS
from pardec.decoding.transformers_generate import TransformersGenerate
from pardec.models.checkpoints.twin import transformers_twin
from tests.reference import samplers
from tests.reference.models import EOS, WORDS, Table, backbone

Settings = Autoregressive.Settings
MODEL = backbone(causal=True)
PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
SEEDS = [3, 2**62 + 5, 77]
KINDS = [
    {},
    {"stop": "eos"},
    {"eos": "ban"},
    {"temperature": 1.0},
    {"temperature": 2.5, "top_k": 4},
    {"temperature": 3.0, "top_p": 0.7, "eos": "ban"},
    {"temperature": 2.0, "top_k": 9, "top_p": 0.8, "stop": "eos"},
]


class Log(Observer):
    def __init__(self):
        self.events = []

    def start(self):
        self.events.append("start")

    def prefill(self):
        self.events.append("prefill")

    def step(self, committed, final=None):
        self.events.append(("step", committed))
        if final is not None:
            self.block(final)

    def block(self, stop):
        self.events.append(("block", stop))


def decode(prompts, seeds, settings, new_tokens=12, model=MODEL, kind=Autoregressive, observer=None):
    batch = pad_left(prompts, seeds, model.info.pad_id)
    return kind(settings).decode(model, batch, new_tokens, observer or Observer())


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_equals_the_slow_sampler(kind):
    settings = Settings(**kind)
    result = decode(PROMPTS, SEEDS, settings).tokens.tolist()
    for row, prompt in enumerate(PROMPTS):
        assert result[row] == samplers.autoregressive(MODEL, prompt, 12, SEEDS[row], settings)


@effort(max_examples=25, deadline=None)
@given(
    prompts=st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=5),
    kind=st.sampled_from(KINDS),
    order=st.randoms(use_true_random=False),
)
def test_a_batch_is_its_rows_in_any_order(prompts, kind, order):
    settings = Settings(**kind)
    seeds = [prompt_seed(1, str(row)) for row in range(len(prompts))]
    together = decode(prompts, seeds, settings, 6).tokens.tolist()
    alone = [decode([p], [s], settings, 6).tokens.tolist()[0] for p, s in zip(prompts, seeds, strict=True)]
    assert together == alone
    rows = list(range(len(prompts)))
    order.shuffle(rows)
    shuffled = decode([prompts[r] for r in rows], [seeds[r] for r in rows], settings, 6).tokens.tolist()
    assert shuffled == [together[r] for r in rows]


def test_length_writes_on_after_the_end_and_eos_stops():
    table = torch.zeros(40, WORDS)
    table[:, 8] = 1.0
    table[4, EOS] = 5.0
    model = Table(table, "causal")
    long = decode([[1, 5]], [0], Settings(), 30, model)
    assert long.tokens[0].tolist() == [8, 8, 8, EOS] + [8] * 26
    assert (long.useful.tolist(), long.nfe, long.token_forwards) == ([3], 30, 2 + 29)
    short = decode([[1, 5]], [0], Settings(stop="eos"), 30, model)
    assert short.tokens[0].tolist() == [8, 8, 8] + [EOS] * 27
    assert short.nfe == 4 and short.useful.tolist() == [3]
    assert EOS not in decode([[1, 5]], [0], Settings(eos="ban"), 30, model).tokens


def test_observer_hears_every_token():
    log = Log()
    decode(PROMPTS, SEEDS, Settings(), 2, observer=log)
    assert log.events == ["start", "prefill", ("step", 1), ("block", 1), ("step", 1), ("block", 2)]


def test_low_temperature_is_greedy():
    cold = decode(PROMPTS, SEEDS, Settings(temperature=1e-6)).tokens
    assert torch.equal(cold, decode(PROMPTS, SEEDS, Settings()).tokens)


@pytest.mark.parametrize("kind", [{}, {"top_k": 3}, {"top_p": 0.6}, {"top_k": 5, "top_p": 0.9}], ids=str)
def test_law_of_a_drawn_token(kind):
    """Chi-square against the exact (truncated) softmax, over many prompt seeds."""
    settings = Settings(temperature=1.7, **kind)
    logits = torch.randn(WORDS, generator=torch.Generator().manual_seed(2)) * 2
    count = 20_000
    noise = uniform(torch.tensor([prompt_seed(0, str(row)) for row in range(count)]), 0, (1,))[:, 0]
    words = draw(logits.expand(count, -1), settings, noise)
    law = samplers.truncated_law(logits.double().tolist(), settings)
    seen = np.bincount(words, minlength=WORDS)
    assert {word for word in range(WORDS) if seen[word]} <= set(law)
    kept = sorted(law)
    assert stats.chisquare(seen[kept], np.array([law[word] for word in kept]) * count).pvalue > 1e-3


def test_cached_steps_equal_full_recomputation():
    batch = pad_left(PROMPTS, None, 0)
    tokens = torch.cat(
        [batch.tokens, torch.randint(4, WORDS, (3, 6), generator=torch.Generator().manual_seed(0))], 1
    )
    with torch.inference_mode():
        whole = MODEL(tokens, batch.pad)
        cache = MODEL.new_cache(3, tokens.shape[1])
        parts = [MODEL(tokens[:, : batch.length], batch.pad, cache)]
        parts += [MODEL(tokens[:, k : k + 1], batch.pad, cache) for k in range(batch.length, tokens.shape[1])]
    real = torch.arange(tokens.shape[1]) >= batch.pad[:, None]
    torch.testing.assert_close(torch.cat(parts, 1)[real], whole[real], rtol=1e-4, atol=1e-4)


def test_every_token_that_ends_a_text_stops_a_row():
    model = backbone(causal=True, stop_ids=(21,))
    batch = pad_left([[1, 5, 9], [1, 7]], [0, 1], 0)
    with torch.no_grad():
        model.head[21] += 5 * model.head[model.head.norm(dim=1).argmax()]
    free = Autoregressive(Autoregressive.Settings()).decode(model, batch, 16)
    stopped = Autoregressive(Autoregressive.Settings(stop="eos")).decode(model, batch, 16)
    assert bool((free.tokens == 21).any(1).all()) and stopped.useful.tolist() == free.useful.tolist()
    for row, length in zip(stopped.tokens.tolist(), stopped.useful.tolist(), strict=True):
        assert row[length] in (21, EOS) and set(row[length + 1 :]) <= {EOS}
    banned = Autoregressive(Autoregressive.Settings(eos="ban")).decode(model, batch, 16).tokens
    assert 21 not in banned and EOS not in banned
    for settings, expected in (({"stop": "eos"}, stopped.tokens), ({"eos": "ban"}, banned)):
        theirs = TransformersGenerate(TransformersGenerate.Settings(**settings)).decode(model, batch, 16)
        assert torch.equal(theirs.tokens, expected)


def test_count_useful():
    tokens = torch.tensor([[5, EOS, 6], [5, 6, 7], [EOS, EOS, EOS]])
    assert count_useful(tokens, (EOS,)).tolist() == [1, 3, 0]
    assert count_useful(tokens, ()).tolist() == [3, 3, 3]


def test_bad_batches_and_settings_are_refused():
    with pytest.raises(UserError, match="none to decode"):
        pad_left([], None, 0)
    with pytest.raises(UserError, match=r"prompts\[1\]"):
        pad_left([[1], []], None, 0)
    assert "temperature" in Autoregressive.check(Settings(top_k=3), 5)
    assert "at least 1" in Autoregressive.check(Settings(), 0)
    assert Autoregressive.check(Settings(temperature=1.0, top_p=0.5), 5) is None


@pytest.mark.parametrize("kind", [{}, {"stop": "eos"}, {"eos": "ban"}], ids=str)
@pytest.mark.parametrize("prompts", [PROMPTS, PROMPTS[:1]], ids=["padded", "one"])
def test_transformers_generate_writes_the_same_tokens(kind, prompts):
    new_tokens = 16
    for seed in range(3):
        model = backbone(causal=True, seed=seed)
        mine = decode(prompts, SEEDS[: len(prompts)], Settings(**kind), new_tokens, model)
        log = Log()
        settings = TransformersGenerate.Settings(**kind)
        other = decode(prompts, SEEDS[: len(prompts)], settings, new_tokens, model, TransformersGenerate, log)
        assert torch.equal(mine.tokens, other.tokens)
        assert torch.equal(mine.useful, other.useful)
        steps = [
            float(torch.as_tensor(event[1]).double().mean()) for event in log.events if event[0] == "step"
        ]
        assert log.events[0] == "start" and steps[0] == 1 and len(steps) == other.nfe
        kept = (mine.useful + 1).clamp(max=new_tokens).double().mean() if "stop" in kind else new_tokens
        assert sum(steps) == pytest.approx(float(kept)), "what fills a row behind its end is not committed"


def test_transformers_generate_reaches_end_tokens():
    """The end token must occur in the test above for `length`, or it shows nothing about how ends are
    handled."""
    table = [
        decode(PROMPTS, SEEDS, Settings(), 16, backbone(causal=True, seed=seed)).useful.min()
        for seed in range(3)
    ]
    assert min(table) < 16


def test_transformers_generate_samples_from_the_truncated_law():
    settings = TransformersGenerate.Settings(temperature=3.0, top_k=4)
    result = decode([PROMPTS[0]] * 600, list(range(600)), settings, 1, MODEL, TransformersGenerate).tokens[
        :, 0
    ]
    with torch.no_grad():
        law = samplers.truncated_law(MODEL(torch.tensor([PROMPTS[0]]))[0, -1].double().tolist(), settings)
    seen = np.bincount(result, minlength=WORDS)
    kept = sorted(law)
    assert seen.sum() == seen[kept].sum()
    assert stats.chisquare(seen[kept], np.array([law[word] for word in kept]) * 600).pvalue > 1e-3


def test_a_model_without_a_transformers_form_is_refused():
    with pytest.raises(UserError, match="no form in transformers"):
        decode(
            [[1, 5]],
            [0],
            TransformersGenerate.Settings(),
            3,
            Table(torch.zeros(9, WORDS)),
            TransformersGenerate,
        )


def test_every_registered_decoder_loads():
    for name in DECODERS:
        decoder = DECODERS.load(name)
        assert decoder(decoder.Settings()).needs in ("causal", "block_causal", "bidirectional")


def test_the_twin_shares_the_models_memory():
    """Weights held twice would be counted as memory of the arm."""
    ours = {parameter.untyped_storage().data_ptr() for parameter in MODEL.parameters()}
    twin = {parameter.untyped_storage().data_ptr() for parameter in transformers_twin(MODEL).parameters()}
    assert twin == ours
