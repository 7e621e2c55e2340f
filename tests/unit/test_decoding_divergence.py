import math

import pytest
import torch

from pardec.decoding.divergence import divergence, parting, plain_pass
from tests.reference.models import backbone

PROMPT, OUTPUT = [1, 4, 5], [2, 3, 6, 1]


def test_outputs_that_are_the_same_have_none():
    assert divergence(backbone(True), PROMPT, OUTPUT, OUTPUT) is None


@pytest.mark.parametrize("at", range(len(OUTPUT)))
def test_the_first_difference_and_the_margin_there(at):
    model = backbone(True)
    other = OUTPUT[:at] + [token + 1 for token in OUTPUT[at:]]
    result = divergence(model, PROMPT, OUTPUT, other)
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + OUTPUT]))[0, len(PROMPT) - 1 + at]
    best = logits.sort(descending=True).values
    assert result.at == at
    assert result.margin == pytest.approx(float(best[0] - best[1]), rel=1e-4, abs=1e-6) and result.margin > 0


def test_banned_tokens_are_no_rivals():
    model = backbone(True)
    with torch.inference_mode():
        best = model(torch.tensor([PROMPT]))[0, -1].topk(3)
    result = divergence(model, PROMPT, [2], [3], banned=[int(best.indices[1])])
    assert result.margin == pytest.approx(float(best.values[0] - best.values[2]), rel=1e-4)


def test_outputs_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="4 and 3 tokens"):
        divergence(backbone(True), PROMPT, OUTPUT, OUTPUT[:-1])


@pytest.mark.parametrize(
    ("other", "at"),
    [((4, 5, 6), None), ((4, 5, 7), 2), ((9, 5, 7), 0), ((4, 5), 2), ((4, 5, 6, 7), 3), ((), 0)],
)
def test_outputs_part_where_they_differ_or_one_ends(other, at):
    assert parting((4, 5, 6), other) == parting(other, (4, 5, 6)) == at


def greedy(model, count, banned=()):
    tokens = torch.tensor([PROMPT])
    with torch.no_grad():
        for _ in range(count):
            logits = model(tokens)[0, -1]
            logits[list(banned)] = -torch.inf
            tokens = torch.cat([tokens, logits.argmax()[None, None]], 1)
    return tokens[0, len(PROMPT) :].clone()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("pad", [0, 2])
def test_a_plain_pass_over_greedy_tokens_finds_each_the_best(monkeypatch, dtype, pad):
    monkeypatch.setattr("pardec.decoding.divergence.ROWS", 4)  # of six: a part of the last piece is not there
    model = backbone(True).to(dtype)
    output = greedy(model, 6, banned=(3,))
    read = torch.tensor([[0] * pad + PROMPT])
    result = plain_pass(model, read, output, (3,), torch.tensor([pad]) if pad else None)
    assert len(result.margins) == 6 and min(result.margins) >= 0
    assert result.behind_ulp <= (0 if dtype == torch.float32 else 2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_token_behind_the_best_is_told_in_units_in_the_last_place(dtype):
    model = backbone(True).to(dtype)
    output = greedy(model, 4)
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + output.tolist()]))[0, len(PROMPT) + 2].float()
    output[3] = logits.argsort(descending=True)[1]
    result = plain_pass(model, torch.tensor([PROMPT]), output)
    unit = 2.0 ** math.floor(math.log2(logits.abs().max())) * torch.finfo(dtype).eps
    best, second = logits.topk(2).values.tolist()
    assert result.margins[3] == pytest.approx(best - second, rel=1e-3)
    assert result.behind_ulp == pytest.approx((best - second) / unit, rel=1e-3) and result.behind_ulp > 2


def test_an_output_that_no_such_decoder_writes_is_refused():
    with pytest.raises(ValueError, match="bans"):
        plain_pass(backbone(True), torch.tensor([PROMPT]), torch.tensor([4, 2]), banned=(2,))
