"""Muon: what torch's own does, in float32."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.models.training.muon import Muon, orthogonal

SIDES = st.integers(1, 24)


def drawn(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)
@given(SIDES, SIDES, st.integers(0, 5))
def test_singular_values_come_near_one_and_vectors_stay(rows, columns, seed):
    matrix = drawn(seed, rows, columns) + 0.5 * torch.eye(rows, columns)
    left, sizes, right = torch.linalg.svd(matrix, full_matrices=False)
    result = left.mT @ orthogonal(matrix[None])[0] @ right.mT
    reached = result.diagonal()[sizes > 0.02 * sizes.max()]
    assert reached.min() > 0.6
    assert reached.max() < 1.25
    torch.testing.assert_close(result, torch.diag(result.diagonal()), atol=2e-3, rtol=0)


@pytest.mark.parametrize("shape", [(12, 12), (30, 8), (8, 30)])
def test_matrices_at_once_are_as_one_by_one(shape):
    matrices = drawn(1, 4, *shape)
    alone = torch.stack([orthogonal(matrix[None])[0] for matrix in matrices])
    torch.testing.assert_close(orthogonal(matrices), alone, atol=1e-5, rtol=1e-4)


def test_steps_are_torchs_but_for_its_rounding():
    shapes = [(16, 8), (8, 8), (16, 8), (8, 24)]
    asked = {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.1}
    mine = [torch.nn.Parameter(drawn(i, *shape)) for i, shape in enumerate(shapes)]
    theirs = [torch.nn.Parameter(p.detach().clone()) for p in mine]
    begun = [p.detach().clone() for p in mine]
    ours = Muon(mine, **asked)
    other = torch.optim.Muon(theirs, adjust_lr_fn="original", **asked)
    for step in range(5):
        for i, (one, two) in enumerate(zip(mine, theirs, strict=True)):
            one.grad = two.grad = drawn(100 * step + i, *one.shape)
        ours.step()
        other.step()
    for start, one, two in zip(begun, mine, theirs, strict=True):
        # Torch's rounds to bfloat16, eight bits.
        assert (one - two).norm() < 0.02 * (one - start).norm()


def test_a_parameter_without_gradient_stays():
    still, moved = torch.nn.Parameter(drawn(0, 4, 4)), torch.nn.Parameter(drawn(1, 4, 4))
    before = still.detach().clone()
    moved.grad = drawn(2, 4, 4)
    Muon([still, moved], 0.1).step()
    torch.testing.assert_close(still.detach(), before)
    assert not torch.equal(moved.detach(), drawn(1, 4, 4))


def test_a_gradient_of_zeros_moves_nothing():
    parameter = torch.nn.Parameter(drawn(0, 4, 6))
    parameter.grad = torch.zeros(4, 6)
    Muon([parameter], 0.1).step()
    torch.testing.assert_close(parameter.detach(), drawn(0, 4, 6))


def test_only_matrices():
    with pytest.raises(ValueError, match=r"not for a shape of \[3\]"):
        Muon([torch.nn.Parameter(torch.zeros(3))], 0.1)
