"""The quick norm against torch's own."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.models.architectures.norm import rms_norm

SHAPES = st.lists(st.integers(1, 5), max_size=3).flatmap(
    lambda lead: st.integers(1, 70).map(lambda width: (*lead, width))
)


def torchs(x, weight, eps):
    return torch.nn.functional.rms_norm(x, weight.shape, weight, eps)


@settings(deadline=None)
@given(SHAPES, st.sampled_from([1e-6, 1e-5, 0.1]), st.integers(-12, 12), st.integers(0, 10**6))
def test_it_is_torchs_within_rounding(shape, eps, power, seed):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator) * 2.0**power
    weight = torch.randn(shape[-1], generator=generator)
    kept = x.clone(), weight.clone()
    with torch.inference_mode():
        result = rms_norm(x, weight, eps)
    torch.testing.assert_close(result, torchs(x.double(), weight.double(), eps).float(), rtol=2e-5, atol=1e-6)
    assert torch.equal(x, kept[0]) and torch.equal(weight, kept[1]), "what it reads stays as it was"


def test_nought_stays_nought_and_nan_is_passed_on():
    weight = torch.ones(4)
    with torch.inference_mode():
        assert torch.equal(rms_norm(torch.zeros(2, 4), weight, 1e-6), torch.zeros(2, 4))
        assert rms_norm(torch.tensor([[1.0, float("nan"), 0.0, 2.0]]), weight, 1e-6).isnan().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_torchs_own_to_the_bit(dtype):
    x, weight = torch.randn(3, 64).to(dtype), torch.randn(64).to(dtype)
    with torch.inference_mode():
        assert torch.equal(rms_norm(x, weight, 1e-5), torchs(x, weight, 1e-5))


def test_gradients_flow():
    x = torch.randn(3, 8, requires_grad=True)
    weight = torch.randn(8, requires_grad=True)
    rms_norm(x, weight, 1e-5).square().sum().backward()
    mine = x.grad.clone(), weight.grad.clone()
    x.grad = weight.grad = None
    torchs(x, weight, 1e-5).square().sum().backward()
    assert torch.equal(mine[0], x.grad) and torch.equal(mine[1], weight.grad)
