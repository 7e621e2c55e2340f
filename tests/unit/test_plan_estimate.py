"""Planning on a card: counts that agree with real models, rooflines by hand, and studies that plan offline."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from typer.testing import CliRunner

from pardec.cli.main import app
from pardec.cli.plan import find_card
from pardec.common.errors import UserError
from pardec.decoding.autoregressive import Autoregressive
from pardec.decoding.base import Passes
from pardec.decoding.batching import pad_left
from pardec.decoding.cached_diffusion import CachedDiffusion
from pardec.decoding.masked_diffusion import MaskedDiffusion
from pardec.measure import machine
from pardec.measure.clock import HostClock
from pardec.measure.roofline import CARDS, REACHED_BANDWIDTH, REACHED_MATMUL, generation_s, pass_s
from pardec.measure.work import CountingModel, pass_bytes, pass_flops
from pardec.models.architectures.attention import pin_backends
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shapes import SHAPES, shape
from pardec.models.registry import ARCHITECTURES
from pardec.study.estimate import estimate_cells, estimate_models, estimate_quality
from pardec.study.plan import read_plan
from tests.reference.models import backbone

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", SHAPES)
def test_facts_are_those_of_the_model_itself(name):
    values = shape(name)
    kind = ARCHITECTURES.load(values["architectures"][0])
    config = read_config(values, name)
    with torch.device("meta"):
        info = kind.model(config).info
    for key, value in vars(read_config(values, "config.json").info()).items():
        assert getattr(info, key) == value, key


def test_a_pass_is_bound_by_what_takes_longest():
    card, facts = CARDS["h200"], read_config(shape("llama-3-8b"), "config.json").info()
    one = pass_s(card, facts, 1, 1, 128, 1, 2)
    traffic = pass_bytes(facts, 1, 1, 128, 2) + 3 * facts.vocab_size * 2
    assert one == pytest.approx(traffic / (4800e9 * REACHED_BANDWIDTH))
    many = pass_s(card, facts, 32, 2048, 0, 1, 2)
    assert many == pytest.approx(pass_flops(facts, 32, 2048, 0, 1) / (989e12 * REACHED_MATMUL))
    # Torch multiplies float32 without tensor cores unless it is told otherwise.
    whole = pass_s(card, facts, 32, 2048, 0, 1, 4)
    assert whole == pytest.approx(pass_flops(facts, 32, 2048, 0, 1) / (67e12 * REACHED_MATMUL))
    small = read_config(shape("gpt2"), "config.json").info()
    assert pass_s(card, small, 1, 1, 8, 1, 2) == pytest.approx(12 * 14 * 6e-6)
    assert generation_s(card, facts, 1, [Passes(3, 1, 128, 1, True)], 2) == pytest.approx(3 * one)


@pytest.mark.parametrize(
    ("decoder", "causal", "settings"),
    [
        (Autoregressive, True, {}),
        (MaskedDiffusion, False, {"steps": 6}),
        (MaskedDiffusion, False, {"steps": 4, "cfg_scale": 1.0}),
        (CachedDiffusion, False, {"block": 4}),
        (CachedDiffusion, False, {"block": 4, "steps": 3}),
        (CachedDiffusion, False, {"block": 4, "cache": "none"}),
    ],
)
def test_planned_passes_are_those_that_are_made(decoder, causal, settings):
    """Forwards and, within a tenth, operations, counted on the model while it decodes."""
    model, made = backbone(causal=causal), decoder(decoder.Settings(**settings))
    with CountingModel(model) as counted:
        made.decode(model, pad_left([[1, 5, 9, 11, 6, 7]], [0], 0), 12)
    planned = decoder.passes(made.settings, 6, 12)
    calls = 2 if settings.get("cfg_scale") else 1  # guidance runs both halves as one batch
    assert sum(one.count for one in planned) == counted.work.forwards * calls
    flops = sum(one.count * pass_flops(model.info, 1, one.length, one.past, one.kept) for one in planned)
    assert flops == pytest.approx(counted.work.flops, rel=0.1)


def test_a_card_that_is_not_known_is_named():
    with pytest.raises(UserError, match="did you mean 'h200'"):
        find_card("h20")


def decided_by_text(cell) -> bool:
    """Whether a side of the cell drafts or ends by what it writes, so that its passes cannot be counted before."""
    sides = [cell, *([cell.reference] if cell.reference else [])]
    return any(
        side.decoder in ("speculative", "jacobi", "full_passes")
        or side.settings.get("speculative") is not None
        or side.settings.get("lookup") is not None
        for side in sides
    )


@pytest.mark.parametrize("study", ["8b-shape", "8b"])
def test_the_large_studies_run_their_own_models_only(study):
    path = ROOT / f"studies/{study}.yaml"
    mine = yaml.safe_load(path.read_text())
    plan = read_plan(ROOT, [path])
    assert set(plan.models) == set(mine["models"])
    assert {cell.experiment for cell in plan.cells.values()} == {
        k for k, v in mine["experiments"].items() if v
    }
    # The ideas of drafting are those of studies/base; all else would be an arm of tiny models.
    assert all(cell.arm in mine["arms"] for cell in plan.cells.values() if cell.experiment != "draft")
    cells = estimate_cells(plan, CARDS["h200"])
    assert {one.unknown for one in cells} <= {"", "the text decides its passes"}
    assert {one.id for one in cells if one.unknown} == {
        id for id, cell in plan.cells.items() if decided_by_text(cell)
    }
    assert all(one.seconds > 0 for one in cells if not one.unknown)
    assert max(one.memory for one in cells) < 141e9
    assert sum(one.download for one in estimate_models(plan)) == pytest.approx(
        87.3e9 if study == "8b" else 0.0, rel=0.01
    )


@pytest.mark.parametrize(
    ("study", "model"), [("8b-shape", "llada"), ("8b", "llada"), ("8b-blocks", "sdar-8b")]
)
def test_the_large_studies_plan_without_network_or_card(study, model, monkeypatch):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["plan", "--configfile", f"studies/{study}.yaml", "--card", "rtx-4090"])
    assert done.exit_code == 0, done.stderr
    assert model in done.stdout and "A 24 GB card holds" in done.stdout
    plan = read_plan(ROOT, [ROOT / f"studies/{study}.yaml"])
    for name in {cell.experiment for cell in plan.cells.values()}:
        mine = [cell for cell in plan.cells.values() if cell.experiment == name]
        by_text = sum(decided_by_text(cell) for cell in mine)
        row = next(line for line in done.stdout.splitlines() if line.startswith(f"│ {name} "))
        _, cells, unknown, *rest = (part.strip() for part in row.strip("│").split("│"))
        assert (int(cells), int(unknown or 0)) == (len(mine), by_text)
        # Cells of which nothing is known are neither too large nor ready in no time.
        assert all(rest) if by_text < len(mine) else not any(rest)


def test_both_sides_of_a_pair_are_in_memory():
    """Each side of a ratio loads a model of its own, also where both run the same one."""
    plan = read_plan(ROOT, [ROOT / "studies/8b-shape.yaml"])
    card, estimates = CARDS["h200"], {}
    for one in estimate_cells(plan, card):
        estimates[one.id] = one
    weights = {one.name: one.weights for one in estimate_models(plan)}
    pairs = [
        (id, cell)
        for id, cell in plan.cells.items()
        if cell.reference is not None and cell.model == cell.reference.model and not estimates[id].unknown
    ]
    assert pairs
    for id, cell in pairs:
        assert estimates[id].memory > 2 * weights[cell.model], id


def test_outputs_and_scores_have_hours_and_memory():
    plan = read_plan(ROOT, [ROOT / "studies/8b.yaml"])
    weights = {one.name: one.weights for one in estimate_models(plan)}
    outputs, scores = estimate_quality(plan, CARDS["h200"])
    assert (outputs.rule, scores.rule) == ("generate_outputs", "score_cell")
    by_model = [cell for cell in plan.outputs.values() if plan.study.workloads[cell.workload].scorer]
    assert outputs.jobs == len(plan.outputs) and scores.jobs == len(by_model) > 0
    assert outputs.memory > max(weights[cell.model] for cell in plan.outputs.values())
    assert scores.memory > max(weights[plan.study.workloads[cell.workload].scorer] for cell in by_model)
    assert outputs.unknown < outputs.jobs and scores.seconds > 15 * scores.jobs
    slower = estimate_quality(plan, CARDS["a100-80gb"])
    assert slower[0].seconds > outputs.seconds


def test_float32_is_planned_as_it_is_multiplied_without_tf32():
    """TF32 multiplies eight times as fast; torch leaves it off, and nothing of ours, or that we load, turns it on."""
    pin_backends()
    assert torch.get_float32_matmul_precision() == "highest"
    assert not torch.backends.cuda.matmul.allow_tf32
    for card in CARDS.values():
        assert card.matmul_flop_s(4) == card.float32_tflop_s * 1e12 < card.matmul_flop_s(2)


def test_the_bandwidth_is_of_many_copies_by_the_devices_clock(monkeypatch):
    """Large ones, all of them between two stamps of the device, and the best series counts."""
    now, copied = [0.0], []

    class Stamps(HostClock):
        on_device = True

        def stamp(self):
            return now[0]

        def elapsed_ms(self, begin, end):
            return end - begin

    class Buffer:
        def copy_(self, source):
            copied.append(1)
            now[0] += 0.5 + (len(copied) <= 60)  # milliseconds; the first series are slow

    made = []
    fake = SimpleNamespace(
        ones=lambda size, **_: made.append(size) or Buffer(),
        empty_like=lambda source: source,
        uint8=None,
        cuda=SimpleNamespace(mem_get_info=lambda: (100e9, 141e9)),
    )
    monkeypatch.setattr(machine, "torch", fake)
    monkeypatch.setattr("pardec.measure.clock.clock_for", lambda device: Stamps())
    rate = machine.copy_rate("cuda")
    assert made == [2**30] and len(copied) == 6 * machine.COPIES >= 100
    assert rate == pytest.approx(2 * 2**30 / 0.5e-3 / 1e9)
    fake.cuda.mem_get_info = lambda: (8e9, 24e9)
    assert machine.copy_bytes("cuda") == 500_000_000
