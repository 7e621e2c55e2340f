"""A layer as one function: its results are the module's, and a token's do not depend on the tokens beside it."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.models.architectures.attention import AttentionPlan, rope_tables
from pardec.models.architectures.backbone import Layer
from pardec.models.architectures.config import BackboneConfig
from pardec.models.engines.packed import MOST, pack_model
from pardec.models.engines.packed_layer import FEW, PackedLayer
from pardec.models.engines.quantise import Int8, quantise
from pardec.models.engines.toolchain import COMPILERS
from tests.reference.models import WORDS, backbone

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)), reason="no C++ compiler on this machine"
)
SIZE = 60
"""Columns of the tests' caches."""


@st.composite
def layers(draw, seed=3):
    """A layer with random vectors and matrices whose sizes are no multiples of anything."""
    kv_heads = draw(st.integers(1, 3))
    config = BackboneConfig(
        vocab_size=9,
        hidden=draw(st.integers(1, 50)),
        layers=1,
        heads=kv_heads * draw(st.integers(1, 3)),
        kv_heads=kv_heads,
        head_dim=2 * draw(st.integers(1, 40)),
        mlp=draw(st.integers(1, 50)),
        max_positions=SIZE,
        causal=True,
        qkv_bias=draw(st.booleans()),
        qk_norm=draw(st.booleans()),
    )
    layer, generator = Layer(config), torch.Generator().manual_seed(seed)
    for weight in layer.parameters():
        weight.data.normal_(generator=generator)
        if weight.dim() == 2:
            weight.data.mul_(2 / weight.shape[1] ** 0.5)
    return layer.requires_grad_(False)


def fast(layer, dtype=torch.float32):
    return pack_model(copy.deepcopy(layer).to(dtype), "cpu")


def numbers(seed, *shape, dtype=torch.float32):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def pair_of(layer, batch, dtype=torch.float32):
    return tuple(numbers(seed, batch, layer.kv_heads, SIZE, layer.head_dim, dtype=dtype) for seed in (4, 5))


def pass_through(layer, x, tables, plan, pair):
    pair = tuple(tensor.clone() for tensor in pair)
    with torch.inference_mode():
        return layer(x, *tables, plan, pair), pair


@settings(max_examples=60, deadline=None)
@given(st.data(), layers(), st.booleans())
def test_a_layer_is_that_of_float64(data, layer, rotary):
    batch, length = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 5))
    past = data.draw(st.integers(0, SIZE - length))
    filled = past + length
    tables = (None, None)
    if rotary:
        # One row of the tables for all rows of the batch, or one for each, as padding asks.
        each = data.draw(st.booleans())
        positions = torch.arange(past, filled)
        positions = (positions - torch.arange(batch)[:, None]).clamp(min=0) if each else positions
        tables = tuple(table[positions].unsqueeze(-2) for table in rope_tables(SIZE, layer.head_dim, 100.0))
    kind = data.draw(st.sampled_from(["all", "causal", "shared mask", "mask of each row"]))
    mask = None
    if "mask" in kind:
        rows = 1 if kind == "shared mask" else batch
        wide = numbers(6, rows, 1, length, 64) > 0  # part of a wider one, as masks of a chain are
        wide[..., past:filled] |= torch.eye(length, dtype=torch.bool)
        mask = wide[..., :filled]
    causal = kind == "causal" and past == 0
    writes = None
    if data.draw(st.booleans()):  # columns of each row, or of all, in any order
        columns = torch.stack(
            [
                torch.randperm(filled, generator=torch.Generator().manual_seed(k))[:length]
                for k in range(batch)
            ]
        )
        writes = [(slice(None), columns if data.draw(st.booleans()) else columns[0])]
    plan = AttentionPlan(mask, causal, past, filled, writes)
    x = numbers(7, batch, length, len(layer.input_norm))
    pair = pair_of(layer, batch)
    exact, kept = pass_through(
        copy.deepcopy(layer).double(),
        x.double(),
        tuple(table if table is None else table.double() for table in tables),
        plan,
        tuple(tensor.double() for tensor in pair),
    )
    packed = fast(layer)
    result, written = pass_through(packed, x, tables, plan, pair)
    assert packed.facts is not None, "the modules ran"
    bound = 2e-5 * max(1.0, float(exact.abs().max()))
    assert torch.allclose(result.double(), exact, atol=bound, rtol=0)
    for ours, theirs, first in zip(written, kept, pair, strict=True):
        assert torch.allclose(ours.double(), theirs, atol=1e-4, rtol=1e-5)
        # Other columns are as they were.
        assert torch.equal(ours.double() == first.double(), theirs == first.double())


@settings(max_examples=20, deadline=None)
@given(layers(), st.integers(0, 40))
def test_a_layer_in_bfloat16_is_that_of_float64_up_to_its_rounding(layer, past):
    layer = layer.to(torch.bfloat16)
    x, plan = (
        numbers(7, 2, 3, len(layer.input_norm), dtype=torch.bfloat16),
        AttentionPlan(None, False, past, past + 3),
    )
    pair = pair_of(layer, 2, torch.bfloat16)
    exact, _ = pass_through(
        copy.deepcopy(layer).double(), x.double(), (None, None), plan, tuple(one.double() for one in pair)
    )
    result, _ = pass_through(fast(layer, torch.bfloat16), x, (None, None), plan, pair)
    assert result.dtype == torch.bfloat16
    plain, _ = pass_through(layer, x, (None, None), plan, pair)
    ours, theirs = ((one.double() - exact).abs().max() for one in (result, plain))
    assert ours <= 1.5 * theirs + 0.01 * exact.abs().max()


def test_large_scores_and_activations_stay_finite():
    layer = backbone(causal=True).layers[0].requires_grad_(False)
    x, plan, pair = 1e4 * numbers(1, 1, 2, 16), AttentionPlan(None, False, 8, 10), pair_of(layer, 1)
    pair = tuple(1e4 * tensor for tensor in pair)
    exact, _ = pass_through(
        copy.deepcopy(layer).double(), x.double(), (None, None), plan, tuple(one.double() for one in pair)
    )
    result, _ = pass_through(fast(layer), x, (None, None), plan, pair)
    assert torch.allclose(result.double(), exact, rtol=1e-4, atol=1.0) and bool(result.isfinite().all())


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
@pytest.mark.parametrize("int8", [False, True])
def test_a_chain_has_the_very_logits_of_one_token_at_a_time(name, int8):
    dtype = getattr(torch, name)
    model = backbone(causal=True, hidden=48, heads=6, head_dim=18).to(dtype)
    model = pack_model(quantise(model, "int8") if int8 else model, "cpu").requires_grad_(False)
    most = min(FEW, MOST[dtype])
    tokens = torch.randint(4, WORDS, (1, 20 + most), generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        whole, alone = (model.new_cache(1, 64) for _ in range(2))
        for cache in (whole, alone):
            model(tokens[:, :20], cache=cache)
        together = model(tokens[:, 20:], cache=whole)
        one_by_one = torch.cat([model(tokens[:, k : k + 1], cache=alone) for k in range(20, 20 + most)], 1)
    assert model.layers[0].facts is not None
    assert torch.equal(together, one_by_one)
    for ours, theirs in zip(whole.layers, alone.layers, strict=True):
        assert all(torch.equal(*tensors) for tensors in zip(ours, theirs, strict=True))


def test_threads_change_nothing(monkeypatch):
    layer = backbone(causal=True).layers[0].requires_grad_(False)
    packed, plan, pair = fast(layer), AttentionPlan(None, False, 8, 13), pair_of(layer, 2)
    x = numbers(1, 2, 5, 16)
    alone, _ = pass_through(packed, x, (None, None), plan, pair)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(pass_through(packed, x, (None, None), plan, pair)[0], alone)


@pytest.mark.parametrize(
    ("rows", "length", "changes"),
    [
        (1, FEW + 1, {}),
        (8, FEW // 8 + 1, {}),
        (1, 2, {"writes": [(slice(0, 1), torch.tensor([8])), (slice(1, 2), torch.tensor([9]))]}),
        (1, 2, {"kernel": lambda query, key, value: torch.zeros_like(query)}),
    ],
)
def test_other_passes_run_the_modules(rows, length, changes):
    layer = backbone(causal=True).layers[0].requires_grad_(False)
    packed, pair = fast(layer), pair_of(layer, rows)
    plan = AttentionPlan(None, False, 8, 8 + length, **changes)
    x = numbers(1, rows, length, 16)
    result, written = pass_through(packed, x, (None, None), plan, pair)
    expected, kept = pass_through(layer, x, (None, None), plan, pair)
    assert packed.facts is None
    assert torch.allclose(result, expected, atol=1e-4) and torch.allclose(written[0], kept[0], atol=1e-5)


@pytest.mark.parametrize("column", [-1, SIZE])
def test_a_column_outside_of_the_cache_is_refused(column):
    layer = fast(backbone(causal=True).layers[0].requires_grad_(False))
    plan = AttentionPlan(None, False, 8, 10, [(slice(None), torch.tensor([8, column]))])
    with pytest.raises(IndexError, match="a column outside of a cache of 60"):
        pass_through(layer, numbers(1, 1, 2, 16), (None, None), plan, pair_of(layer, 1))


def test_a_pass_without_a_cache_runs_the_modules_and_int4_is_left_as_it_is():
    model = backbone(causal=True, hidden=64, head_dim=16, mlp=128)
    tokens = torch.tensor([[1, 5, 6]])
    expected = model(tokens)
    packed = pack_model(model, "cpu")
    assert all(type(layer) is PackedLayer for layer in packed.layers)
    assert torch.allclose(packed(tokens), expected, atol=1e-4) and packed.layers[0].facts is None
    int4 = pack_model(quantise(backbone(causal=True, hidden=64, head_dim=16, mlp=128), "int4"), "cpu")
    assert all(type(layer) is Layer for layer in int4.layers)
    int8 = pack_model(quantise(backbone(causal=True), "int8"), "cpu")
    assert all(type(layer) is PackedLayer and type(layer.down) is Int8 for layer in int8.layers)
