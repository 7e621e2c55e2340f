"""Arms with more than one model: what a study may say of them, and what a decoder is given."""

import copy
from pathlib import Path
from typing import ClassVar, Literal

import pytest

from pardec.common.errors import UserError
from pardec.common.settings import Settings
from pardec.decoding.base import Decoder
from pardec.decoding.prepared import companion_trouble, load_arm
from pardec.decoding.registry import DECODERS
from pardec.study.cells import expand
from pardec.study.layers import read_study
from pardec.study.load import load_study
from pardec.study.plan import Plan
from tests.faults import arms

ROOT = Path(__file__).parents[2]
PAPER, FILES = read_study(ROOT, [ROOT / "studies/paper.yaml"])


class Drafted(Decoder):
    """Needs a draft, unless it is told to go alone."""

    class Settings(Settings):
        alone: bool = False
        kind: Literal["drafted"] = "drafted"

    needs: ClassVar[str] = "causal"
    accompanied: ClassVar[tuple[str, ...]] = ("draft", "judge")

    @classmethod
    def wants(cls, settings):
        return () if settings.alone else ("draft",)

    def decode(self, model, prompts, new_tokens, observer=None):
        raise AssertionError("not called here")


@pytest.fixture
def drafted(monkeypatch):
    monkeypatch.setitem(DECODERS.entries, "drafted", f"{__name__}:Drafted")
    return "drafted"


@pytest.fixture(scope="module")
def default():
    return PAPER


def plan_of(config):
    return Plan(config, FILES, ROOT)


def with_companion(default, companions):
    config = copy.deepcopy(default)
    config["arms"]["ar"]["companions"] = companions
    return config


def test_a_decoder_is_asked_which_companions_it_needs(drafted):
    alone, paired = Drafted.Settings(alone=True), Drafted.Settings()
    assert companion_trouble(drafted, paired, {"draft": 1}) is None
    assert companion_trouble(drafted, alone, {}) is None
    assert "needs a companion 'draft'" in companion_trouble(drafted, paired, {})[0]
    assert "no companion 'darft'" in companion_trouble(drafted, paired, {"draft": 1, "darft": 2})[0]


def test_a_decoder_gets_its_companions_loaded(drafted, tmp_path):
    model, draft = (arms.write_model(tmp_path / name, True, None) for name in ("model", "draft"))
    _, decoder, _ = load_arm(model, drafted, {}, "cpu", "float32", {"draft": draft})
    assert decoder.companions["draft"].info.attention == "causal"
    with pytest.raises(UserError, match="needs a companion 'draft'"):
        load_arm(model, drafted, {}, "cpu", "float32")


def test_a_companion_that_a_decoder_does_not_know_is_refused_before_any_job(default):
    with pytest.raises(
        UserError, match=r"studies/base/arms\.yaml:\d+: arms\.ar\.companions: has no companion 'draft'"
    ):
        load_study(with_companion(default, {"draft": "diffusion"}), FILES)


def test_a_companion_must_be_a_role_of_the_workload(default, monkeypatch):
    monkeypatch.setattr(DECODERS.load("autoregressive"), "accompanied", ("draft",))
    with pytest.raises(UserError, match=r"arms\.ar\.companions\.draft"):
        load_study(with_companion(default, {"draft": "difusion"}), FILES)


def test_companions_are_inputs_of_every_job_that_runs_them(default, monkeypatch):
    kind = DECODERS.load("autoregressive")
    monkeypatch.setattr(kind, "accompanied", ("draft",))
    monkeypatch.setattr(kind, "wants", classmethod(lambda cls, settings: ()))
    plan = plan_of(with_companion(default, {"draft": "diffusion"}))
    cell = next(id for id, cell in plan.cells.items() if cell.arm == "ar" and cell.workload == "grid")
    weights = "results/models/diffusion-grid/model.safetensors"
    assert weights in plan.cell_models(cell)
    assert '{"draft":"results/models/diffusion-grid"}' in plan.arm_words(plan.cells[cell])
    outputs = plan.cells[cell].output_id
    assert weights in plan.output_model(outputs)
    assert plan.arm_words(plan.outputs[outputs]) == plan.arm_words(plan.cells[cell])


def test_a_grid_may_change_how_its_cells_are_timed(default):
    config = copy.deepcopy(default)
    noise = config["experiments"]["noise"]
    for grid, limits in zip(noise["grids"], ({"min_samples": 7}, {}), strict=True):
        grid["measure"] = limits
    study, cells = load_study(config, FILES)
    changed = {cell.measure.min_samples for cell in cells.values() if cell.experiment == "noise"}
    assert changed == {7, study.measure.min_samples}
    noise["grids"][0]["measure"] = {"min_sample": 7}
    with pytest.raises(UserError, match=r"experiments\.noise\.grids\.0\.measure\.min_sample"):
        load_study(config, FILES)


def test_models_that_teach_one_another_in_a_circle_are_refused(default, monkeypatch):
    from pardec.models.registry import FAMILIES

    monkeypatch.setattr(FAMILIES.load("autoregressive"), "taught_by", ("target",))
    monkeypatch.setattr(FAMILIES.load("masked_diffusion"), "taught_by", ("target",))
    config = copy.deepcopy(default)
    for name, entry in config["models"].items():
        if entry["objective"]["family"] in ("autoregressive", "masked_diffusion"):
            entry["teachers"] = {"target": "ar-grid" if name == "ar-text" else "ar-text"}
    with pytest.raises(UserError, match="in a circle"):
        load_study(config, FILES)


def test_teachers_must_be_those_of_the_family(default):
    config = copy.deepcopy(default)
    config["models"]["ar-text"]["teachers"] = {"target": "ar-grid"}
    with pytest.raises(UserError, match="needs none, not target"):
        load_study(config, FILES)


def test_cells_know_every_model_they_run(default):
    study, _ = load_study(default, FILES)
    for cell in expand(study).values():
        assert cell.models[0] == cell.model
        assert set(cell.models) == {cell.model, *dict(cell.companions).values()}
