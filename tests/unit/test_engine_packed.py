"""The engine `packed`: products of few rows are right, none depends on the rows beside, tokens are the same."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.decoding.transformers_generate import TransformersGenerate
from pardec.measure.cell import ArmSpec, run_cell
from pardec.models.engines import kernel, toolchain
from pardec.models.engines.packed import CHUNK, MOST, Arena, PackedMatrix, Product, pack_model
from pardec.models.engines.quantise import Int8, quantise
from pardec.models.engines.toolchain import COMPILERS, library
from tests.faults import arms
from tests.reference.drafts import draft_model, speculate, with_head, with_selector
from tests.reference.models import backbone

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)), reason="no C++ compiler on this machine"
)
MANY = 20
BATCHES = ([[1, 5, 6, 7]], [[1, 5, 6, 7], [1, 8, 9]], [[4, 5, 6, 7], [6, 8, 9], [4, 4]])


def drawn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@settings(deadline=None)  # the first one may compile the kernel
@given(st.integers(1, 20), st.integers(1, 90), st.integers(1, 130), st.sampled_from(["float32", "bfloat16"]))
def test_products_are_those_of_float64(rows, inputs, outputs, name):
    dtype = getattr(torch, name)
    x, matrix = drawn(rows, rows, inputs).to(dtype), drawn(outputs, outputs, inputs).to(dtype)
    exact = x.double() @ matrix.double().T
    result = Product(matrix, dtype, Arena())(x)
    bound = 1e-6 * (x.double().abs() @ matrix.double().abs().T) + (
        exact.abs() / 256 if name == "bfloat16" else 0
    )
    assert result.dtype == dtype and result.shape == (rows, outputs)
    assert ((result.double() - exact).abs() <= bound).all()


@settings(deadline=None)
@given(st.integers(1, 20), st.integers(1, 70), st.integers(1, 70), st.sampled_from(["float32", "bfloat16"]))
def test_products_with_int8_are_those_with_its_dense_form(rows, inputs, outputs, name):
    dtype = getattr(torch, name)
    x, matrix = drawn(rows, rows, inputs).to(dtype), Int8(drawn(outputs, outputs, inputs).to(dtype))
    exact = x.double() @ matrix.dense().double().T
    bound = 1e-6 * (x.double().abs() @ matrix.dense().double().abs().T)
    result = Product(matrix.values, dtype, Arena(), matrix.scale.float())(x)
    assert result.dtype == dtype
    assert ((result.double() - exact).abs() <= bound + (exact.abs() / 256 if name == "bfloat16" else 0)).all()


def test_bfloat16_is_rounded_to_nearest_and_what_is_no_number_stays_so():
    one = torch.ones(1, 1, dtype=torch.bfloat16)
    for value in (
        1.0,
        1.00390625,
        1.01171875,
        -3.3e38,
        float("inf"),
        float("-inf"),
        float("nan"),
        1e-40,
    ):
        sums = torch.tensor([[value], [value]], dtype=torch.bfloat16)
        result = Product(sums, torch.bfloat16, Arena())(one)
        assert torch.equal(result.view(torch.int16), sums.T.contiguous().view(torch.int16)) or value != value
        assert bool(result.isnan().all()) == (value != value)
    halves = torch.tensor([[1.0, 2**-8], [1.0, 3 * 2**-8], [1.0, 2**-8 + 2**-16]]).to(torch.bfloat16)
    two = torch.ones(1, 2, dtype=torch.bfloat16)
    expected = halves.float().sum(1).to(torch.bfloat16)  # ties go to the even neighbour
    assert torch.equal(Product(halves, torch.bfloat16, Arena())(two)[0], expected)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_rows_result_does_not_depend_on_the_rows_beside_it(dtype):
    product = Product(drawn(1, 75, 64).to(dtype), dtype, Arena())
    x = drawn(2, MANY, 64).to(dtype)
    alone = torch.cat([product(row[None]) for row in x])
    for rows in range(1, MANY + 1):
        assert torch.equal(product(x[:rows]), alone[:rows])


def test_threads_change_nothing(monkeypatch):
    product, x = Product(drawn(1, 300, 64), torch.float32, Arena()), drawn(2, 5, 64)
    alone = product(x)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(product(x), alone)


def test_packed_weights_do_not_share_memory():
    arena = Arena()
    first, second = (Product(drawn(seed, 33, 7), torch.float32, arena) for seed in (1, 2))
    ends = [(p.values.data_ptr(), p.values.data_ptr() + p.values.nbytes) for p in (first, second)]
    assert ends[0][1] <= ends[1][0] or ends[1][1] <= ends[0][0]
    assert all(start % 64 == 0 for start, _ in ends)
    large = arena.take(torch.empty(80 << 20, dtype=torch.uint8))
    assert large.nbytes == 80 << 20


def matrices(model):
    return [weight for weight in model.parameters() if isinstance(weight, PackedMatrix)]


@pytest.mark.parametrize(
    ("decoder", "chosen"),
    [
        ("autoregressive", {}),
        ("jacobi", {"window": 4}),
        ("speculative", {"drafter": {"name": "ngram"}, "block": 4}),
        ("masked_diffusion", {"steps": 4, "block": 8}),
        ("cached_diffusion", {"steps": 8, "block": 4, "cache": "dual"}),
        ("block_diffusion", {"block": 4, "share": 2}),
    ],
)
def test_tokens_are_those_of_the_eager_engine(decoder, chosen):
    made = build(decoder, chosen)
    blockwise = {"family": "block_diffusion", "mask_id": 3, "shift": True}
    options = {"causal": made.needs != "bidirectional"} | (blockwise if made.needs == "block_causal" else {})
    plain, packed = backbone(**options), pack_model(backbone(**options), "cpu")
    for rows in BATCHES:
        batch = pad_left(rows, list(range(len(rows))), 0)
        assert torch.equal(made.decode(packed, batch, 16).tokens, made.decode(plain, batch, 16).tokens)
    used = [weight for weight in matrices(packed) if weight.product is not None]
    assert len(used) == 4 * len(packed.layers) + 1, "every matrix of a layer, and the head"


@pytest.mark.parametrize(
    ("drafter", "added"),
    [("dflash", lambda draft: draft), ("markov", with_head), ("selector", with_selector)],
)
def test_drafts_are_packed_too(drafter, added):
    target = backbone(causal=True)
    draft, settings = added(draft_model(target)), {"drafter": {"name": drafter}}
    expected = speculate(target, [[1, 5, 9, 11]], 20, draft, **settings)
    fast = pack_model(draft, "cpu")
    result = speculate(pack_model(target, "cpu"), [[1, 5, 9, 11]], 20, fast, **settings)
    assert torch.equal(result.tokens, expected.tokens) and result.nfe == expected.nfe
    assert any(weight.product is not None for weight in matrices(fast))


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_int8_is_packed_as_int8(name):
    dtype = getattr(torch, name)
    plain, packed = (quantise(backbone(causal=True).to(dtype), "int8") for _ in range(2))
    pack_model(packed, "cpu")
    assert all(layer.down.product is not None for layer in packed.layers)
    made, batch = build("autoregressive", {}), pad_left([[1, 5, 6, 7]], [1], 0)
    cache = [model.new_cache(1, 8) for model in (plain, packed)]
    tokens = torch.tensor([[1, 5, 6, 7]])
    logits = [model(tokens, cache=kept).float() for model, kept in zip((plain, packed), cache, strict=True)]
    assert torch.allclose(*logits, atol=1e-5 if name == "float32" else 0.1, rtol=0)
    if name == "float32":
        assert torch.equal(made.decode(packed, batch, 12).tokens, made.decode(plain, batch, 12).tokens)


def test_int4_keeps_its_own_product_and_the_head_is_packed():
    plain = quantise(backbone(causal=True, hidden=64, head_dim=16, mlp=128), "int4")
    packed = pack_model(quantise(backbone(causal=True, hidden=64, head_dim=16, mlp=128), "int4"), "cpu")
    made, batch = build("autoregressive", {}), pad_left([[1, 5, 6, 7]], [1], 0)
    assert torch.equal(made.decode(packed, batch, 12).tokens, made.decode(plain, batch, 12).tokens)


def test_a_peer_multiplies_from_packed_weights_too():
    plain, packed = backbone(causal=True), pack_model(backbone(causal=True), "cpu")
    batch = pad_left([[1, 5, 6, 7], [1, 8, 9]], [1, 2], 0)
    peer = TransformersGenerate(TransformersGenerate.Settings())
    peer.engine = "packed"
    expected = build("autoregressive", {}).decode(plain, batch, 12).tokens
    assert torch.equal(peer.decode(packed, batch, 12).tokens, expected)
    used = [weight for weight in matrices(peer._twin) if weight.product is not None]
    assert len(used) == 7 * len(packed.layers) + 1


def test_many_rows_and_other_formats_are_torchs_own():
    weight = PackedMatrix.of(drawn(1, 40, 16), Arena())
    many = drawn(2, MOST[torch.float32] + 1, 16)
    assert torch.equal(F.linear(many, weight), F.linear(many, drawn(1, 40, 16))) and weight.product is None
    x, bias = drawn(3, 2, 3, 16), drawn(4, 40)
    assert torch.allclose(F.linear(x, weight, bias), F.linear(x, drawn(1, 40, 16), bias), atol=1e-5)
    assert weight.product is not None
    assert type(weight[:3]) is torch.Tensor and type(weight + 1) is torch.Tensor
    assert torch.equal(F.embedding(torch.tensor([2]), weight), drawn(1, 40, 16)[2:3])


def test_what_the_kernel_does_not_read_is_torchs_own_product_or_refusal():
    weight, int8 = PackedMatrix.of(drawn(1, 40, 16), Arena()), Int8(drawn(1, 40, 16).to(torch.bfloat16))
    assert F.linear(drawn(2, 0, 16), weight).shape == (0, 40)
    assert F.linear(drawn(2, 2, 0, 16), weight).shape == (2, 0, 40)
    int8.product, int8.most = Product(int8.values, torch.bfloat16, Arena(), int8.scale.float()), 8
    assert torch.equal(int8(drawn(2, 3, 16)), int8.converted(drawn(2, 3, 16))), "rows of another format"
    for product in (lambda x: F.linear(x, weight), lambda x: int8(x.to(torch.bfloat16))):
        with pytest.raises(RuntimeError, match=r"shapes cannot be multiplied|should be"):
            product(drawn(2, 3, 8))


def test_a_copy_or_another_format_is_packed_anew():
    model = pack_model(torch.nn.Sequential(torch.nn.Linear(16, 40)), "cpu").requires_grad_(False)
    x = drawn(2, 3, 16)
    expected = model(x)
    assert torch.equal(copy.deepcopy(model)(x), expected)
    assert torch.allclose(model.bfloat16()(x.bfloat16()).float(), expected, atol=0.05)


def test_packed_copies_count_as_memory_of_the_weights(tmp_path):
    folder = arms.write_model(tmp_path / "m", causal=True)
    arm = ArmSpec(folder, "autoregressive", {})
    spec = arms.spec(arm, None, prompts=arms.prompts(4, lengths=(3, 5)))
    plain, packed = (
        run_cell(arms.replace(spec, engine=engine), arms.MeasureSettings(**arms.FAST), 0.0)["memory"]
        for engine in ("eager", "packed")
    )
    for name in ("weights_mb", "peak_allocated_mb"):
        assert packed[name] - plain[name] >= CHUNK / 1e6, name


def test_a_cell_runs_packed_on_both_sides(tmp_path):
    folder = arms.write_model(tmp_path / "m", causal=True)
    arm = ArmSpec(folder, "autoregressive", {})
    spec = arms.spec(arm, arm, engine="packed", prompts=arms.prompts(4, lengths=(3, 5)))
    facts = run_cell(spec, arms.MeasureSettings(**arms.FAST), 0.0)
    plain = run_cell(arms.replace(spec, engine="eager"), arms.MeasureSettings(**arms.FAST), 0.0)
    assert facts["status"] == "ok", facts["reason"]
    assert facts["outputs"] == plain["outputs"]
    assert plain["work"].pop("flops_agreement") and facts["work"].pop("flops_agreement") is None
    assert facts["work"] == plain["work"], "torch counts no products of another library"


def test_what_cannot_be_packed_is_refused_with_its_reason(monkeypatch, tmp_path):
    with pytest.raises(NotImplementedError, match="engine packed: there is none for device cuda"):
        pack_model(backbone(causal=True), "cuda")
    with pytest.raises(NotImplementedError, match="no kernel for weights in float16"):
        pack_model(backbone(causal=True).to(torch.float16), "cpu")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(NotImplementedError, match=r"engine packed: .* failed: .*error"):
        library("this is no C++", "packed")
    assert not list(tmp_path.rglob("*.so")) and not list(tmp_path.rglob(".*.so*"))
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(NotImplementedError, match=r"no C\+\+ compiler here \(looked for no-such-compiler\)"):
        library(kernel.SOURCE, "packed")


def test_a_library_that_cannot_be_loaded_is_made_again_or_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = 'extern "C" int seven() { return 7; }'
    monkeypatch.setenv("CXX", "true")
    with pytest.raises(NotImplementedError, match=r"what .*true made cannot be loaded"):
        library(source, "packed")
    assert not list(tmp_path.rglob("*.so"))
    monkeypatch.setenv("CXX", "false")
    with pytest.raises(NotImplementedError, match="false failed: it exited with 1"):
        library(source, "packed")
    found = next(filter(shutil.which, COMPILERS))
    monkeypatch.setenv("CXX", f"{found} -O1")
    assert library(source, "packed").seven() == 7
    [file] = tmp_path.rglob("*.so")
    file.unlink()  # the loaded one keeps its content
    file.write_bytes(b"")
    assert library(source, "packed").seven() == 7 and file.stat().st_size > 0


def test_a_kernel_is_compiled_once_for_a_processor(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    source = 'extern "C" int seven() { return 7; }'
    assert library(source, "packed").seven() == 7
    monkeypatch.setattr(toolchain.subprocess, "run", lambda *a, **k: pytest.fail("compiled again"))
    assert library(source, "packed").seven() == 7
    monkeypatch.setattr(toolchain, "processor", lambda: "another")
    with pytest.raises(pytest.fail.Exception, match="compiled again"):
        library(source, "packed")
