"""Jacobi decoding: its fixed point is greedy decoding, token for token; stopped early it is a prefix of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.data.registry import TASKS
from pardec.decoding.autoregressive import Autoregressive
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left, prompt_seed
from pardec.decoding.full_passes import FullPasses
from pardec.decoding.jacobi import Jacobi
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import LanguageModel
from tests.reference.models import EOS, WORDS, Table, backbone, on_task

MODEL = backbone(causal=True)
PROMPTS = [[1, 5, 9, 11], [1, 7], [1, 4, 4, 8, 20, 13, 6]]
INITS = ["eos", "random", "repeat"]


class Log(Observer):
    """What was committed by each pass, by row, and how far the output was final after it."""

    def __init__(self, rows):
        self.rows, self.committed, self.final = rows, [], []

    def step(self, committed, final=None):
        self.committed.append(torch.as_tensor(committed).expand(self.rows).tolist())
        if final is not None:
            self.block(final)

    def block(self, stop):
        self.final.append(stop)


class Looking(LanguageModel):
    """A model that notes the positions it is asked to run."""

    def __init__(self, model):
        super().__init__()
        self.model, self.info, self.ran = model, model.info, []

    def new_cache(self, *shape):
        return self.model.new_cache(*shape)

    def forward(self, tokens, cache=None, **more):
        past = 0 if cache is None else cache.length
        self.ran.append((past, past + tokens.shape[1]))
        return self.model(tokens, cache=cache, **more)


def greedy(prompts, new_tokens, model=MODEL, **settings):
    return decode(Autoregressive, prompts, new_tokens, model, **settings)


def decode(kind, prompts, new_tokens, model=MODEL, observer=None, **settings):
    seeds = [prompt_seed(3, str(row)) for row in range(len(prompts))]
    batch = pad_left(prompts, seeds, model.info.pad_id)
    return kind(kind.Settings(**settings)).decode(model, batch, new_tokens, observer or Observer())


batches = st.lists(st.lists(st.integers(4, WORDS - 1), min_size=1, max_size=9), min_size=1, max_size=5)


@effort(max_examples=40, deadline=None)
@given(
    prompts=batches,
    seed=st.integers(0, 40),
    scale=st.sampled_from([1.5, 3.0, 8.0]),
    new_tokens=st.integers(1, 24),
    init=st.sampled_from(INITS),
    window=st.sampled_from([None, 1, 3, 8, 50]),
    stop=st.sampled_from(["length", "eos"]),
    eos=st.sampled_from(["free", "ban"]),
    pool=st.sampled_from([{}, *({"recycle": size, "ngram": n} for size in (1, 5, 1000) for n in (2, 3, 4))]),
)
def test_fixed_point_is_greedy(prompts, seed, scale, new_tokens, init, window, stop, eos, pool):
    """With a pool of n-grams and without; in float64, so that no tie is broken by rounding."""
    model = backbone(causal=True, seed=seed, scale=scale).double()
    log = Log(len(prompts))
    settings = {"init": init, "window": window, "stop": stop, "eos": eos, **pool}
    result = decode(Jacobi, prompts, new_tokens, model, log, **settings)
    right = greedy(prompts, new_tokens, model, stop=stop, eos=eos)
    assert result.tokens.tolist() == right.tokens.tolist()
    assert result.useful.tolist() == right.useful.tolist()
    assert result.nfe <= new_tokens and result.nfe == len(log.committed)
    assert log.final == sorted(log.final) and log.final[-1] == new_tokens
    written = torch.tensor(log.committed).sum(0).tolist()
    ends = [min(new_tokens, n + 1) if stop == "eos" else new_tokens for n in right.useful.tolist()]
    assert written == ends


@effort(max_examples=20, deadline=None)
@given(
    prompts=batches,
    seed=st.integers(0, 20),
    passes=st.integers(1, 12),
    init=st.sampled_from(INITS),
    window=st.sampled_from([None, 4]),
)
def test_stopped_early_it_is_a_greedy_prefix(prompts, seed, passes, init, window):
    model = backbone(causal=True, seed=seed).double()
    log = Log(len(prompts))
    result = decode(Jacobi, prompts, 12, model, log, init=init, window=window, passes=passes)
    right = greedy(prompts, 12, model).tokens
    assert result.nfe <= passes
    final = torch.tensor(log.committed[:-1]).sum(0) if len(log.committed) > 1 else torch.zeros(len(prompts))
    for row in range(len(prompts)):
        sure = max(int(final[row]), min(passes, 12))
        assert result.tokens[row, :sure].tolist() == right[row, :sure].tolist()
    assert torch.tensor(log.committed).sum(0).tolist() == [12] * len(prompts)


@pytest.mark.parametrize("name", list(TASKS))
def test_equals_greedy_on_every_task(name):
    model, prompts, new_tokens = on_task(name)
    for stop in ("length", "eos"):
        result = decode(Jacobi, prompts, new_tokens, model, stop=stop)
        right = greedy(prompts, new_tokens, model, stop=stop)
        assert torch.equal(result.tokens, right.tokens) and torch.equal(result.useful, right.useful)


def test_a_row_does_not_depend_on_its_batch():
    together = decode(Jacobi, PROMPTS, 14, passes=3).tokens.tolist()
    seeds = [prompt_seed(3, str(row)) for row in range(3)]
    for row, prompt in enumerate(PROMPTS):
        alone = Jacobi(Jacobi.Settings(passes=3)).decode(MODEL, pad_left([prompt], [seeds[row]], 0), 14)
        assert alone.tokens[0].tolist() == together[row]


def test_final_positions_are_never_run_again():
    looking = Looking(MODEL)
    log = Log(1)
    result = decode(Jacobi, [PROMPTS[0]], 20, looking, log)
    prompt = len(PROMPTS[0])
    final = [0, *log.final]
    assert len(looking.ran) == result.nfe > 3
    assert looking.ran[0] == (0, prompt + 19)
    assert looking.ran[1:] == [(prompt + done - 1, prompt + 19) for done in final[1:-1]]
    assert result.token_forwards == sum(stop - start for start, stop in looking.ran)
    assert result.token_forwards < result.nfe * (prompt + 19)


def test_a_window_bounds_what_a_pass_runs():
    looking = Looking(MODEL)
    decode(Jacobi, [PROMPTS[0]], 20, looking, window=4)
    assert all(stop - start <= 4 for start, stop in looking.ran[1:])


def test_a_model_of_positions_needs_two_passes():
    """Where no token depends on the one before it, the second pass sees that nothing changed."""
    table = torch.zeros(70, WORDS)
    table[torch.arange(70), 4 + torch.arange(70) % 15] = 5.0
    log = Log(1)
    result = decode(Jacobi, [[1, 5]], 60, Table(table, "causal"), log)
    assert result.nfe == 2 and log.committed == [[1], [59]]
    assert torch.equal(result.tokens, greedy([[1, 5]], 60, Table(table, "causal")).tokens)


def test_a_right_first_guess_needs_one_pass():
    table = torch.zeros(40, WORDS)
    table[:, EOS] = 5.0
    assert decode(Jacobi, [[1, 5]], 30, Table(table, "causal"), init="eos").nfe == 1


def test_a_chain_needs_a_pass_a_token():
    """Each token is the one before it plus one: a guess behind the first change is always wrong."""

    class Chain(Table):
        def forward(self, tokens, pad=None, cache=None, keep=None, canvas_start=None):
            if cache is not None:
                cache.length += tokens.shape[1]
            following = 4 + (tokens - 3) % (WORDS - 4)
            logits = torch.nn.functional.one_hot(following, WORDS).float()
            return logits if keep is None else logits[:, keep]

    model = Chain(torch.zeros(1, WORDS), "causal")
    result = decode(Jacobi, [[1, 5]], 12, model)
    assert result.nfe == 12 and result.tokens[0].tolist() == greedy([[1, 5]], 12, model).tokens[0].tolist()


def test_rows_stop_at_their_end():
    table = torch.zeros(40, WORDS)
    table[:, 8] = 1.0
    table[4, EOS] = 5.0
    model = Table(table, "causal")
    result = decode(Jacobi, [[1, 5]], 30, model, init="repeat", stop="eos")
    assert result.tokens[0].tolist() == [8, 8, 8] + [EOS] * 27
    assert result.useful.tolist() == [3]
    assert EOS not in decode(Jacobi, [[1, 5]], 30, model, eos="ban").tokens


@effort(max_examples=20, deadline=None)
@given(prompts=batches, passes=st.integers(1, 14), init=st.sampled_from(INITS), seed=st.integers(0, 9))
def test_full_passes_are_jacobi_without_reuse(prompts, passes, init, seed):
    model = backbone(causal=True, seed=seed).double()
    log = Log(len(prompts))
    plain = decode(FullPasses, prompts, 10, model, log, passes=passes, init=init)
    right = greedy(prompts, 10, model).tokens
    sure = min(passes, 10)
    assert torch.equal(plain.tokens[:, :sure], right[:, :sure])
    if passes <= 10:
        assert torch.equal(plain.tokens, decode(Jacobi, prompts, 10, model, passes=passes, init=init).tokens)
    longest = max(map(len, prompts))
    assert (plain.nfe, plain.token_forwards) == (passes, passes * (longest + 9))
    assert log.committed == [[0] * len(prompts)] * (passes - 1) + [[10] * len(prompts)] and log.final == [10]


def test_settings_that_cannot_work_are_refused():
    assert "passes" in Jacobi.check(Jacobi.Settings(passes=9), 8)
    assert Jacobi.check(Jacobi.Settings(passes=8), 8) is None
    assert "at least 1" in Jacobi.check(Jacobi.Settings(), 0)
    assert "at least 1" in FullPasses.check(FullPasses.Settings(), 0)


def test_the_model_tests_use_is_causal():
    assert isinstance(MODEL, Backbone) and MODEL.info.attention == "causal"
