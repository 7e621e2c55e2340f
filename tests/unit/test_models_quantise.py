"""Weight-only quantisation: error within half a step, memory counted, a cell timed and its outputs its own."""

from __future__ import annotations

import json

import pytest
import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.measure.cell import ArmSpec, run_cell
from pardec.measure.memory import weights_mb
from pardec.measure.work import pass_bytes
from pardec.models.architectures.gpt2 import GPT2
from pardec.models.checkpoints.sizes import quantised_info
from pardec.models.engines.quantise import MATRICES, Int4, Int8, quantise
from pardec.models.load import load_model
from pardec.models.sources import path
from tests.faults import arms
from tests.reference.models import WORDS, backbone


@pytest.mark.parametrize("shape", [(6, 256), (5, 24), (3, 128)])
def test_every_weight_is_within_half_a_step(shape):
    weight = (
        torch.randn(shape, generator=torch.Generator().manual_seed(1))
        * torch.tensor([0.01, 1, 9]).repeat(2)[: shape[0], None]
    )
    eight, four = Int8(weight), Int4(weight)
    assert ((eight.dense() - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127 / 2 * 1.01).all()
    groups = four.scale.shape[1]
    assert groups == max(1, shape[1] // 128)
    parts = weight.view(shape[0], groups, -1)
    step = (parts.amax(2) - parts.amin(2)) / 15
    assert ((four.dense() - weight).view_as(parts).abs() <= step[..., None] / 2 * 1.01 + 1e-6).all()
    assert four.values.nbytes * 2 == eight.values.nbytes == weight.numel()


@pytest.mark.parametrize("kind", [Int8, Int4])
def test_the_product_is_that_of_the_dense_matrix(kind):
    generator = torch.Generator().manual_seed(2)
    weight, x, bias = (torch.randn(size, generator=generator) for size in ((6, 64), (2, 3, 64), (6,)))
    made = kind(weight)
    expected = torch.nn.functional.linear(x, made.dense(), bias)
    torch.testing.assert_close(made(x, bias), expected, rtol=1e-4, atol=1e-4)


def test_a_row_of_noughts_stays_nought():
    for kind in (Int8, Int4):
        assert not kind(torch.zeros(2, 8)).dense().any()


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
