import pytest
import torch

from pardec.decoding.divergence import divergence
from tests.reference.models import backbone

PROMPT, OUTPUT = [1, 4, 5], [2, 3, 6, 1]


def test_outputs_that_are_the_same_have_none():
    assert divergence(backbone(True), PROMPT, OUTPUT, OUTPUT) is None


@pytest.mark.parametrize("at", range(len(OUTPUT)))
def test_the_first_difference_and_the_margin_there(at):
    model = backbone(True)
    other = OUTPUT[:at] + [token + 1 for token in OUTPUT[at:]]
    found = divergence(model, PROMPT, OUTPUT, other)
    with torch.inference_mode():
        logits = model(torch.tensor([PROMPT + OUTPUT]))[0, len(PROMPT) - 1 + at]
    best = logits.sort(descending=True).values
    assert found.at == at
    assert found.margin == pytest.approx(float(best[0] - best[1]), rel=1e-4, abs=1e-6) and found.margin > 0


def test_banned_tokens_are_no_rivals():
    model = backbone(True)
    with torch.inference_mode():
        best = model(torch.tensor([PROMPT]))[0, -1].topk(3)
    found = divergence(model, PROMPT, [2], [3], banned=[int(best.indices[1])])
    assert found.margin == pytest.approx(float(best.values[0] - best.values[2]), rel=1e-4)


def test_outputs_of_two_lengths_are_refused():
    with pytest.raises(ValueError, match="zip"):
        divergence(backbone(True), PROMPT, OUTPUT, OUTPUT[:-1])
