"""Weight-only quantisation: error within half a step, memory counted, a cell timed and its outputs its own."""

from __future__ import annotations

import json

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.measure.cell import ArmSpec, run_cell
from pardec.measure.memory import weights_mb
from pardec.measure.work import pass_bytes
from pardec.models.architectures.gpt2 import GPT2
from pardec.models.checkpoints.sizes import quantised_info
from pardec.models.engines.quantise import FEW, MATRICES, Int4, Int8, quantise
from pardec.models.load import load_model
from pardec.models.sources import path
from tests.faults import arms
from tests.reference.compiled import compiled_bytes
from tests.reference.models import WORDS, backbone
from tests.reference.pretended import PretendedCuda


@pytest.mark.parametrize("shape", [(16, 256), (32, 96), (48, 128)])
def test_every_weight_is_within_half_a_step(shape):
    weight = (
        torch.randn(shape, generator=torch.Generator().manual_seed(1))
        * torch.tensor([0.01, 1, 9]).repeat(16)[: shape[0], None]
    )
    eight, four = Int8(weight), Int4(weight)
    assert ((eight.dense() - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127 / 2 * 1.01).all()
    groups = four.scale.shape[0]
    assert groups == shape[1] // {256: 128, 96: 32, 128: 128}[shape[1]]
    parts = weight.view(shape[0], groups, -1)
    step = (parts.amax(2) - parts.amin(2)) / 15
    assert ((four.dense() - weight).view_as(parts).abs() <= step[..., None] / 2 * 1.01 + 1e-5).all()
    assert four.values.nbytes * 2 == eight.values.nbytes == weight.numel()


@pytest.mark.parametrize("kind", [Int8, Int4])
def test_the_product_is_that_of_the_dense_matrix(kind):
    generator = torch.Generator().manual_seed(2)
    weight, x, bias = (torch.randn(size, generator=generator) for size in ((16, 64), (2, 3, 64), (16,)))
    made = kind(weight)
    expected = torch.nn.functional.linear(x, made.dense(), bias)
    torch.testing.assert_close(made(x, bias), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("kind", "dtype"), [(Int8, torch.bfloat16), (Int4, torch.float32), (Int4, torch.bfloat16)]
)
def test_a_step_never_makes_the_weights_wide_again(kind, dtype):
    """Dequantising moves five bytes a weight, though most within the cache: int8 in float32 does it, since torch's
    kernel for that is slower still."""
    made = kind(torch.randn(64, 128, generator=torch.Generator().manual_seed(4)).to(dtype))
    largest = []

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            result = func(*args, **kwargs or {})
            largest.append(result.nbytes if result.is_floating_point() else 0)
            return result

    with Sizes():
        made(torch.ones(3, 128, dtype=dtype))
    assert 0 < max(largest) < 64 * 128, "the largest result is that of the product, or its input"
    stored = sum(buffer.nbytes for buffer in made.buffers())
    assert stored < 64 * 128 * (1.1 if kind is Int8 else 0.7)


@pytest.mark.parametrize("rows", [1, FEW + 1])
def test_int8_on_a_gpu_keeps_the_format_and_leaves_torchs_kernel_alone(rows, monkeypatch):
    """The kernel of torch 2.13 reads one row of weights a thread, and returned float32 before."""
    generator = torch.Generator().manual_seed(5)
    weight, x = (torch.randn(size, generator=generator).bfloat16() for size in ((64, 128), (rows, 128)))
    made = Int8(weight)
    right, kernel = x.float() @ made.dense().T, torch._weight_int8pack_mm

    def on_cpu_alone(x, values, scale):
        assert x.is_cpu
        return kernel(x, values, scale)

    monkeypatch.setattr(torch, "_weight_int8pack_mm", on_cpu_alone)
    with PretendedCuda():
        product = made.to("cuda")(x.to("cuda"))
        assert product.is_cuda and product.dtype == torch.bfloat16
        torch.testing.assert_close(product.cpu().float(), right, rtol=0.02, atol=0.2)


@pytest.mark.thorough  # compiles
def test_the_compiler_does_not_put_that_kernel_back():
    from torch._dynamo.utils import counters

    made = Int8(torch.randn(64, 128).bfloat16())
    x = torch.randn(2, 3, 128).bfloat16()

    def taken(product) -> int:
        torch.compiler.reset()
        counters.clear()
        with torch.inference_mode():
            torch.compile(product)(x)
        return counters["inductor"]["woq_matcher_count"]

    assert taken(lambda x: torch.nn.functional.linear(x, made.values.to(x.dtype)) * made.scale) == 1
    assert taken(made.converted) == 0


@pytest.mark.thorough  # lowers graphs
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_compiled_product_of_several_rows_reads_each_weight_once_in_8_bits(dtype, monkeypatch):
    """By inductor's count of bytes; the product by matrices also writes converted weights and reads them again."""
    made = Int8(torch.randn(512, 256, generator=torch.Generator().manual_seed(8)).to(dtype))
    rows = torch.randn(8, 256, generator=torch.Generator().manual_seed(9)).to(dtype)
    right = torch.nn.functional.linear(rows.float(), made.values.float())
    torch.testing.assert_close(made.fused(rows), right, rtol=1e-4, atol=1e-2)

    def moved(product) -> int:
        torch.compiler.reset()
        return compiled_bytes(lambda: torch.compile(product)(rows), monkeypatch)

    beside = rows.nbytes + 4 * 8 * 512  # the rows and the product
    assert moved(made.fused) < 1.05 * (512 * 256 + beside)
    assert moved(made.converted) > 3 * 512 * 256


def test_many_rows_give_what_few_give():
    made = Int8(torch.randn(16, 64, generator=torch.Generator().manual_seed(5)))
    x = torch.randn(3 * FEW, 64, generator=torch.Generator().manual_seed(6))
    few = torch.cat([made(part) for part in x.split(FEW)])
    torch.testing.assert_close(made(x), few, rtol=1e-4, atol=1e-4)


def test_what_the_kernel_for_int4_cannot_read_is_refused():
    with pytest.raises(UserError, match="not multiples of 16 and 32"):
        quantise(backbone(True), "int4")
    with PretendedCuda(), pytest.raises(UserError, match="in bfloat16 alone on cuda, not in float32"):
        quantise(backbone(True, hidden=64, head_dim=16, mlp=128).to("cuda"), "int4")


@pytest.mark.parametrize("inputs", [8, 24, 100])
def test_inputs_that_torchs_kernel_cannot_read_are_converted(inputs):
    generator = torch.Generator().manual_seed(6)
    made = Int8(torch.randn(32, inputs, generator=generator).to(torch.bfloat16))
    for rows in (1, FEW):
        x = torch.randn(rows, inputs, generator=generator).to(torch.bfloat16)
        torch.testing.assert_close(made(x), made.converted(x), rtol=0, atol=0)


def test_a_row_of_noughts_stays_nought():
    for kind in (Int8, Int4):
        assert not kind(torch.zeros(16, 32)).dense().any()


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_a_model_keeps_its_logits_roughly_and_its_memory_shrinks(how):
    plain, model = (
        backbone(True, hidden=64, head_dim=16, mlp=128),
        backbone(True, hidden=64, head_dim=16, mlp=128),
    )
    tokens = torch.randint(4, WORDS, (2, 9), generator=torch.Generator().manual_seed(3))
    before, small = weights_mb(plain), weights_mb(quantise(model, how))
    assert small < before * (0.5 if how == "int8" else 0.4)
    with torch.inference_mode():
        error = (plain(tokens) - model(tokens)).norm() / plain(tokens).norm()
    assert 0 < error < (0.08 if how == "int8" else 0.6)
    assert pass_bytes(model.info, 1, 1, 0, 4) < pass_bytes(plain.info, 1, 1, 0, 4) / 2
    assert not any(name.endswith(MATRICES) for name, _ in model.named_parameters())


@pytest.mark.parametrize(("how", "most"), [("int8", 1e-3), ("int4", 0.15)])
def test_the_cost_in_accuracy_is_measured_and_bounded(how, most):
    """The divergence of the quantised model's distribution from the plain one's, in nats per token."""
    shape = {"hidden": 64, "head_dim": 16, "mlp": 128, "scale": 3.0}
    plain, model = backbone(True, **shape), quantise(backbone(True, **shape), how)
    tokens = torch.randint(4, WORDS, (8, 24), generator=torch.Generator().manual_seed(7))
    with torch.inference_mode():
        right, cost = plain(tokens).log_softmax(-1), model(tokens).log_softmax(-1)
    divergence = torch.nn.functional.kl_div(cost, right, log_target=True, reduction="sum") / tokens.numel()
    assert 0 < divergence < most


def test_a_cell_runs_quantised_and_is_told_apart(tmp_path):
    folder = arms.write_model(tmp_path / "m", causal=True)
    made = tmp_path / "made"
    source = path.fetch(path.PathSettings(source="path", path=str(folder), quantise="int8"), made, 0)
    assert (
        source["config_changes"] == {"quantise": "int8"}
        and read_json(made / "config.json")["quantise"] == "int8"
    )
    facts = run_cell(
        arms.spec(ArmSpec(made, "autoregressive", {}), ArmSpec(folder, "autoregressive", {})),
        arms.MeasureSettings(**arms.FAST), 0.0,
    )  # fmt: skip
    assert facts["status"] == "ok" and facts["reference_samples"]
    assert facts["memory"]["weights_mb"] < weights_mb(load_model(folder))
    again = path.fetch(path.PathSettings(source="path", path=str(folder)), tmp_path / "plain", 0)
    assert again["config_changes"] == {}


def test_what_cannot_be_quantised_says_so(tmp_path):
    with pytest.raises(UserError, match="known: int8, int4"):
        quantise(backbone(True), "int2")
    with pytest.raises(UserError, match="GPT2 has no quantised form"):
        quantise(GPT2.__new__(GPT2), "int8")
    folder = arms.write_model(tmp_path / "m", causal=True)
    config = read_json(folder / "config.json") | {"quantise": "int8"}
    (folder / "config.json").write_text(json.dumps(config))
    spec = arms.spec(ArmSpec(folder, "transformers_generate", {}))
    facts = run_cell(spec, arms.MeasureSettings(), 0.0)
    assert facts["status"] == "unsupported" and "its weights are quantised" in facts["reason"]


@pytest.mark.parametrize("how", ["int8", "int4"])
def test_planning_foresees_the_bytes(how):
    """Scales of int8, one a row, are left out: a thousandth of a real model's weights."""
    made = backbone(True, hidden=256, heads=4, kv_heads=4, head_dim=64, mlp=512)
    facts = quantised_info(made.config.info(), how, 4)
    stored = quantise(made, how).info.matmul_bytes
    assert facts.matmul_bytes == pytest.approx(stored, rel=0.02)
    rest = facts.parameters - facts.matmul_parameters
    assert facts.weight_bytes(4) == pytest.approx(stored + 4 * rest, rel=0.02)
    assert facts.weight_bytes(4) < made.config.info().weight_bytes(4)
