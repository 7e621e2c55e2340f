"""The analytic count of operations against torch's own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
import torch

from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import build
from pardec.measure import work
from pardec.measure.cell import ArmSpec
from pardec.measure.torch_count import MOST
from pardec.measure.work import CountingModel
from pardec.models.engines import compiled
from pardec.models.engines.quantise import quantise
from tests.faults import arms
from tests.reference.models import backbone

ROOT = Path(__file__).parents[2]
BATCH = [[1, 5, 9, 11, 6, 7], [1, 8]]


def counted(causal, decoder, settings, new_tokens=12, **model):
    made, target = build(decoder, settings), backbone(causal=causal, **model)
    with CountingModel(target, beside=True) as result:
        made.decode(target, pad_left(BATCH, [0, 1], 0), new_tokens)
    assert "forward" not in vars(target)  # the model is left as it was
    return result


@pytest.mark.parametrize(
    ("decoder", "settings"),
    [("masked_diffusion", {"steps": 3}), ("cached_diffusion", {"block": 4, "steps": 3})],
)
def test_where_every_position_sees_every_other_the_counts_are_alike(decoder, settings):
    assert counted(False, decoder, settings).torch.ratio() == pytest.approx(1.0, rel=1e-3)


def test_of_a_causal_prompt_torch_counts_the_whole_square():
    result = counted(True, "autoregressive", {})
    info, rows, length = backbone(True).info, 2, 6
    missing = 4 * rows * info.layers * info.heads * info.head_dim * length * (length - 1) / 2
    assert result.torch.flops - result.torch.analytic == pytest.approx(missing)
    assert len(result.torch.seen) == 2  # the prompt, and one of many steps


def test_passes_of_many_shapes_are_not_all_looked_at():
    result = counted(True, "full_passes", {"passes": 2})
    assert len(result.torch.seen) <= MOST
    target = backbone(True)
    with CountingModel(target, beside=True) as result:
        for length in range(1, MOST + 3):
            target(torch.ones(1, length, dtype=torch.long))
    assert len(result.torch.seen) == MOST and result.work.forwards == MOST + 2


def test_a_wrong_formula_shows(monkeypatch):
    right = work.pass_flops
    monkeypatch.setattr(work, "pass_flops", lambda *shape: 2 * right(*shape))
    assert counted(False, "masked_diffusion", {"steps": 3}).torch.ratio() == pytest.approx(0.5, rel=1e-3)


def test_a_cell_tells_of_it(tmp_path, monkeypatch):
    # What a graph computes is not asked here, so none is compiled.
    monkeypatch.setattr(compiled, "compiler", lambda run, device: run)
    folder = arms.write_model(tmp_path / "m", causal=False)
    facts = arms.run(ArmSpec(folder, "masked_diffusion", {"steps": 2}))
    assert facts["work"]["flops_agreement"] == pytest.approx(1.0, rel=1e-3)
    facts = arms.run(ArmSpec(folder, "masked_diffusion", {"steps": 2}), engine="compiled")
    assert facts["work"] is None or facts["work"]["flops_agreement"] is None


@pytest.mark.thorough  # a process of its own
def test_the_compiler_is_not_imported_for_it():
    """Counting brings no part of the compiler that the model's own modules do not import."""
    code = """
        import sys
        from pardec.decoding.batching import pad_left
        from pardec.decoding.prepared import build
        from pardec.measure.work import CountingModel
        from tests.reference.models import backbone

        def compiler():
            return {name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))}

        before, target = compiler(), backbone(False)
        with CountingModel(target, beside=True) as result:
            build("masked_diffusion", {"steps": 2}).decode(target, pad_left([[1, 5, 9]], [0], 0), 4)
        assert result.torch.ratio()
        print(sorted(compiler() - before))
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=ROOT
    )
    assert done.stdout == "[]\n", done.stdout + done.stderr


def test_quantised_products_are_not_given_to_torch():
    model = quantise(backbone(True), "int8")
    with CountingModel(model, beside=True) as result:
        build("autoregressive", {}).decode(model, pad_left(BATCH, [0, 1], 0), 3)
    assert result.torch is None and result.work.forwards
