"""Attention on a GPU asks for kernels that exist there, and gives what the CPU's plain way gives."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from pardec.models.architectures import attention
from pardec.models.architectures.attention import AttentionPlan, attend, attend_packed, stair, store
from tests.reference.pretended import PretendedCuda


def inputs(length: int, width: int, heads: int = 8, groups: int = 2, rows: int = 2, dtype=torch.float32):
    generator = torch.Generator().manual_seed(length * width)
    shapes = (rows, heads, length, 16), (rows, groups, width, 16), (rows, groups, width, 16)
    return [torch.randn(shape, generator=generator).to(dtype) for shape in shapes]


@pytest.mark.parametrize("groups", [2, 8])
@pytest.mark.parametrize("length", [1, 5])
@pytest.mark.parametrize("rows", [None, 1, 2])
def test_packed_groups_give_what_repeated_keys_give(length, groups, rows):
    query, key, value = inputs(length, 32, groups=groups)
    mask = None
    if rows is not None:
        mask = torch.rand(rows, 1, length, 32, generator=torch.Generator().manual_seed(1)) > 0.3
        mask[..., 0] = True
    keys, values = (kept.repeat_interleave(8 // groups, 1) for kept in (key, value))
    expected = F.scaled_dot_product_attention(query, keys, values, mask)
    torch.testing.assert_close(attend_packed(query, key, value, mask), expected, rtol=1e-5, atol=1e-6)


PLANS = {
    "chain": lambda device: AttentionPlan(is_causal=True, past=27, filled=32),
    "mask": lambda device: AttentionPlan(stair(5, 32, device), past=27, filled=32),
    "all": lambda device: AttentionPlan(past=27, filled=32),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("groups", [2, 8])
@pytest.mark.parametrize("name", list(PLANS))
def test_each_plan_on_a_gpu_is_that_on_a_cpu(name, groups, dtype):
    query, key, value = inputs(5, 32, groups=groups, dtype=dtype)
    mask = None if name == "all" else stair(5, 32, query.device)
    right = F.scaled_dot_product_attention(query, key, value, mask, enable_gqa=True)
    with PretendedCuda():
        there = [part.to("cuda") for part in (query, key, value)]
        result = attend(*there, PLANS[name](there[0].device), None).cpu()
    close = {"rtol": 1e-5, "atol": 1e-5} if dtype == torch.float32 else {"rtol": 2e-2, "atol": 2e-2}
    torch.testing.assert_close(result, right, **close)


def test_a_chain_in_sixteen_bits_is_a_triangle_that_flash_attention_knows(monkeypatch):
    asked, real = [], F.scaled_dot_product_attention
    monkeypatch.setattr(
        F, "scaled_dot_product_attention", lambda *a, **k: asked.append(a[3]) or real(*a, **k)
    )
    query, key, value = inputs(5, 32, dtype=torch.bfloat16)
    with PretendedCuda():
        attend(*(part.to("cuda") for part in (query, key, value)), PLANS["chain"](None), None)
    from torch.nn.attention.bias import CausalBias  # brings the compiler, which few tests need

    assert isinstance(asked[0], CausalBias)


@pytest.mark.parametrize("shared", [True, False])
def test_columns_are_written_in_order(shared):
    """A later part overwrites an earlier one, as a block does the padding of its context."""
    key, value = (torch.arange(2 * 3 * 4.0).view(2, 1, 3, 4) + shift for shift in (0, 100))
    columns = torch.tensor([5, 2, 5]) if shared else torch.tensor([[5, 2, 5], [1, 0, 1]])
    writes = [(slice(None, 2), columns[..., :2]), (slice(2, None), columns[..., 2:])]
    pair = torch.zeros(2, 1, 6, 4), torch.zeros(2, 1, 6, 4)
    store(key, value, writes, pair)
    for row, places in enumerate(columns.expand(2, -1).tolist()):
        for kept, new in zip(pair, (key, value), strict=True):
            assert torch.equal(kept[row, :, places[2]], new[row, :, 2])
            assert torch.equal(kept[row, :, places[1]], new[row, :, 1])
            assert not kept[row, :, [p for p in range(6) if p not in places]].any()


def test_the_order_of_kernels_is_pinned_and_leaves_cudnn_out():
    kept = torch._C._get_sdp_priority_order(), torch.backends.cuda.cudnn_sdp_enabled()
    try:
        attention.pin_backends()
        assert attention.backends() == ["flash_attention", "efficient_attention", "math"]
        attention.pin_backends()
        assert attention.backends()[0] == "flash_attention", "pinning twice changes nothing"
    finally:
        torch._C._set_sdp_priority_order(kept[0])
        torch.backends.cuda.enable_cudnn_sdp(kept[1])
