"""Likelihoods: exact ones against hand computation, the bound against enumeration over all masks."""

import itertools
import math

import pytest
import torch

from pardec.common.errors import UserError
from pardec.data.tokenizers import task_tokenizer
from pardec.models.architectures.base import LanguageModel
from pardec.models.architectures.config import ModelInfo, PositionConfig
from pardec.quality.autoregressive import answer_nats
from pardec.quality.base import Context
from pardec.quality.diffusion import bound_draws, draw_mask
from pardec.quality.likelihood import (
    BoundLikelihood,
    ExactLikelihood,
    as_json,
    bound_likelihood,
    encoded,
    exact_likelihood,
)
from pardec.quality.registry import METRICS
from tests.reference.models import MASK, backbone

CAUSAL, BOTH = backbone(causal=True, scale=3.0), backbone(causal=False, scale=3.0)
PROMPTS = [[1, 5, 9], [1, 7, 8, 8, 4], [1, 4]]
ANSWERS = [[6, 7, 8], [9], [5, 11, 20, 2]]
NAMES = ["one", "two", "three"]
SHIFTED = backbone(causal=False, scale=3.0, shift=True, positions=PositionConfig(8, 6))
"""Predicts from the column before, and knows where the canvas starts."""


class Joint(LanguageModel):
    """A masked model that knows the joint law of its last two tokens, whichever of them is masked."""

    def __init__(self, joint):
        super().__init__()
        self.joint = torch.nn.Parameter(joint)
        words = joint.shape[0]
        self.info = ModelInfo(
            "bidirectional", words, 1, 1, 1, 1, 1, 1, 99, 1, 2, 0, MASK, joint.numel(), joint.numel(), False
        )

    def forward(self, tokens, pad=None, cache=None, keep=None, canvas_start=None):
        logits = torch.zeros(*tokens.shape, self.info.vocab_size)
        for row, canvas in enumerate(tokens.tolist()):
            first, second = canvas[-2:]
            logits[row, -2] = self.joint.sum(1).log() if second == MASK else self.joint[:, second].log()
            logits[row, -1] = self.joint.sum(0).log() if first == MASK else self.joint[first].log()
        return logits[:, keep] if keep is not None else logits


def joint_table(words=8):
    table = torch.rand(words, words, generator=torch.Generator().manual_seed(1)) + 0.05
    return table / table.sum()


def log_softmax(logits):
    return torch.log_softmax(logits.double(), -1)


def enumerated_bound(model, prompt, answer):
    """The bound's expectation a token: cross-entropy times n / k over every subset, with its chance."""
    n, start = len(answer), len(prompt)
    total = 0.0
    for k in range(1, n + 1):
        subsets = list(itertools.combinations(range(n), k))
        for subset in subsets:
            canvas = torch.tensor([[*prompt, *answer]])
            canvas[0, [start + place for place in subset]] = MASK
            with torch.inference_mode():
                logits = log_softmax(model.denoise(canvas, None, start, start + n))[0]
            lost = -sum(logits[place, answer[place]].item() for place in subset)
            total += lost * n / k / len(subsets)
    nats = total / n
    return nats / n


@pytest.mark.parametrize("batch", [1, 2, 16])
def test_answer_nats_equal_full_recomputation(batch):
    outcome = answer_nats(CAUSAL, PROMPTS, ANSWERS, batch=batch)
    for prompt, answer, nats in zip(PROMPTS, ANSWERS, outcome, strict=True):
        for place, token in enumerate(answer):
            with torch.inference_mode():
                logits = log_softmax(CAUSAL(torch.tensor([[*prompt, *answer[:place]]])))[0, -1]
            assert nats[place] == pytest.approx(-logits[token].item(), abs=1e-4)


def test_exact_likelihood_divides_by_tokens_not_by_records():
    result = exact_likelihood(CAUSAL, PROMPTS, ANSWERS, seed=1)
    nats = answer_nats(CAUSAL, PROMPTS, ANSWERS)
    assert result.nats_per_token == pytest.approx(sum(map(sum, nats)) / 8)
    assert (result.n, result.tokens) == (3, 8) and result.low <= result.nats_per_token <= result.high
    assert result == exact_likelihood(CAUSAL, PROMPTS, ANSWERS, seed=1)


def test_only_a_causal_model_has_an_exact_likelihood_and_only_a_masked_one_a_bound():
    with pytest.raises(UserError, match="autoregressive"):
        exact_likelihood(BOTH, PROMPTS, ANSWERS, 1)
    with pytest.raises(UserError, match="mask token"):
        bound_likelihood(CAUSAL, PROMPTS, ANSWERS, NAMES, 2, 1)


def test_masks_have_every_size_and_every_place_as_often():
    generator = torch.Generator().manual_seed(0)
    masks = torch.stack([draw_mask(4, generator) for _ in range(8000)])
    sizes = torch.bincount(masks.sum(1), minlength=5)
    assert sizes[0] == 0
    # 2000 of each size, and each place masked in 5000 of 8000: five standard deviations.
    assert all(abs(int(count) - 2000) < 5 * math.sqrt(8000 * 0.25 * 0.75) for count in sizes[1:])
    assert all(abs(int(count) - 5000) < 5 * math.sqrt(8000 * 0.625 * 0.375) for count in masks.sum(0))


@pytest.mark.parametrize("model", [BOTH, SHIFTED])
def test_the_bound_estimates_what_enumeration_gives(model):
    # All records at once, so that rows of different lengths and left padding are in play.
    estimate = bound_likelihood(model, PROMPTS, ANSWERS, NAMES, samples=300, seed=3)
    nats = [
        enumerated_bound(model, prompt, answer) * len(answer)
        for prompt, answer in zip(PROMPTS, ANSWERS, strict=True)
    ]
    assert abs(estimate.nats_per_token - sum(nats) / 8) < 5 * estimate.standard_error


def test_the_bound_of_a_model_with_exact_conditionals_is_the_likelihood():
    joint = joint_table()
    model = Joint(joint)
    prompt, answer = [1, 4], [5, 6]
    assert enumerated_bound(model, prompt, answer) == pytest.approx(-joint[5, 6].log().item() / 2, abs=1e-6)
    estimate = bound_likelihood(model, [prompt], [answer], ["x"], samples=2000, seed=1)
    assert abs(estimate.nats_per_token + joint[5, 6].log().item() / 2) < 5 * estimate.standard_error


def test_the_standard_error_shrinks_as_the_root_of_the_draws_and_tells_the_spread():
    def run(samples, seed):
        return bound_likelihood(BOTH, PROMPTS, ANSWERS, NAMES, samples, seed)

    few = [run(8, seed) for seed in range(40)]
    spread = torch.tensor([result.nats_per_token for result in few]).std().item()
    typical = sum(result.standard_error for result in few) / 40
    assert 0.6 < typical / spread < 1.6
    assert run(128, 1).standard_error == pytest.approx(typical / 4, rel=0.3)
    assert run(1, 1).standard_error is None


@pytest.mark.parametrize("model", [BOTH, SHIFTED])
def test_draws_depend_on_seed_and_name_only(model):
    prompts, answers = [*PROMPTS, [1, 9, 9, 9, 9, 9]], [*ANSWERS, [4, 5, 6]]
    names = [*NAMES, "four"]
    whole = bound_draws(model, prompts, answers, names, 5, 1, batch=16)
    for batch in (1, 4):
        for a, b in zip(whole, bound_draws(model, prompts, answers, names, 5, 1, batch=batch), strict=True):
            assert a == pytest.approx(b, rel=1e-4)
    alone = bound_draws(model, prompts[2:3], answers[2:3], names[2:3], 5, 1)
    assert alone[0] == pytest.approx(whole[2], rel=1e-4)
    assert bound_draws(model, prompts, answers, names, 5, 2) != whole


def test_progress_is_reported():
    heard = []
    bound_draws(
        BOTH, PROMPTS, ANSWERS, NAMES, 5, 1, batch=4, progress=lambda done, total: heard.append((done, total))
    )
    assert [done for done, _ in heard] == [4, 5, 9, 10, 14, 15] and {total for _, total in heard} == {15}


def test_an_exact_value_and_a_bound_never_share_a_column():
    exact = as_json(ExactLikelihood(1.0, 0.9, 1.1, 3, 8))
    bound = as_json(BoundLikelihood(1.0, 0.9, 1.1, 3, 8, 4, 0.1))
    assert (exact["kind"], bound["kind"]) == ("exact", "bound")
    assert exact["column"] != bound["column"] and "bound" in bound["column"]
    assert ExactLikelihood(1.0, 0.9, 1.1, 3, 8) != BoundLikelihood(1.0, 0.9, 1.1, 3, 8, 4, 0.1)


def test_the_end_token_counts_only_where_answers_end():
    tokenizer = task_tokenizer(["a", "b"])
    records = [
        {"id": "1", "prompt": "a", "answer": "b a"},
        {"id": "2", "prompt": "a", "answer": None},
    ]
    _, complete, names = encoded(records, tokenizer, ends=True)
    _, cut, _ = encoded(records, tokenizer, ends=False)
    assert complete[0] == [*cut[0], tokenizer.eos_id] and names == ["1"]
    with pytest.raises(UserError, match="answers"):
        encoded(records[1:], tokenizer, ends=True)


def test_scorer_nll_is_the_mean_of_nats_a_token():
    tokenizer = task_tokenizer("abcdefghijk")
    texts = ["b c d", "", "e"]
    outputs = [
        {"id": str(i), "task": "text", "prompt": "a b", "answer": None, "tokens": [], "text": text}
        for i, text in enumerate(texts)
    ]
    context = Context(scorer=CAUSAL, scorer_tokenizer=tokenizer)
    result = METRICS.load("scorer_nll")().measure(outputs, context)
    prompt = tokenizer.encode_prompt("a b")
    nats = answer_nats(CAUSAL, [prompt, prompt], [tokenizer.encode("b c d"), tokenizer.encode("e")])
    means = [sum(row) / len(row) for row in nats]
    assert result.per_prompt[0] == pytest.approx(means[0], rel=1e-5)
    assert result.per_prompt[1] is None and result.n == 2
    assert result.value == pytest.approx(sum(means) / 2, rel=1e-5)
    assert result.low <= result.value <= result.high
