"""Cells that are run twice, paired with several references, kept for tuning, or not scored; and the cost of width."""

from __future__ import annotations

import copy
import json
from types import SimpleNamespace

import pytest
import torch

from pardec.measure.clock import HostClock
from pardec.measure.verify_cost import CONTEXT, NODES, measure_verify_cost
from pardec.study.cells import expand
from pardec.study.load import load_study
from pardec.study.plan import Plan
from tests import draft_factories as made
from tests.faults import arms
from tests.script import ROOT, run_script
from tests.tiny_study import paper


@pytest.fixture(scope="module")
def default():
    return paper()


def plan_of(default, *grids):
    config = copy.deepcopy(default)
    config["experiments"]["twice"] = {"question": "?", "grids": list(grids)}
    return Plan(config, [ROOT / "config.yaml"], ROOT)


GRID = {"workloads": ["sort"], "arms": ["ar-stop"], "reference": "ar", "runs": [1, 2]}


def idents(plan):
    return {id: cell for id, cell in plan.cells.items() if cell.experiment == "twice"}


def test_each_run_is_a_cell_that_names_run_and_reference(default):
    plan = plan_of(default, GRID)
    stem = "twice/sort/ar-strings/ar-stop/new~16+batch~1+against~ar"
    assert list(idents(plan)) == [f"{stem}+run~1", f"{stem}+run~2"]
    assert plan.cell_job(f"{stem}+run~2")["run"] == 2


def test_one_arm_may_be_paired_with_several_references(default):
    plan = plan_of(default, GRID, {**GRID, "reference": "ar-transformers"}, {**GRID, "reference": None})
    references = [cell.reference.arm for cell in idents(plan).values()]
    assert references == ["ar", "ar", "ar-transformers", "ar-transformers", "ar-stop", "ar-stop"]


def test_without_runs_nothing_changes(default):
    plan = plan_of(default, {**GRID, "runs": None})
    (ident,) = idents(plan)
    assert ident == "twice/sort/ar-strings/ar-stop/new~16+batch~1"
    assert not plan.cell_job(ident).keys() & {"run", "prompt_set"}
    assert "run~" not in "".join(id for id in expand(load_study(default)[0]) if not id.startswith("draft/"))


def test_tuning_prompts_are_the_next_ones(default, tmp_path):
    plan = plan_of(default, {**GRID, "tuning": True, "runs": [1]})
    (ident,) = idents(plan)
    assert ident.endswith("run~1+prompts~tuning") and plan.cell_job(ident)["prompt_set"] == "tuning"

    from scripts.time_cell import chosen

    asked = []

    def load(file, limit, **how):
        asked.append(limit)
        return [{"id": f"p{k}"} for k in range(9)][:limit]

    sets = {}
    for name in ("measured", "tuning"):
        args = SimpleNamespace(prompt_set=name, seed=1, task=None, new_tokens=8, fill=None)
        sets[name] = {prompt["id"] for prompt in chosen(load, "x", 4, args)}
    assert len(sets["measured"]) == len(sets["tuning"]) == 4 and not sets["measured"] & sets["tuning"]


def test_unscored_outputs_are_not_generated_unless_another_cell_wants_them(default):
    before = set(plan_of(default, {**GRID, "new_tokens": [16]}).outputs)
    fresh = {**GRID, "new_tokens": [13], "scored": False}
    plan = plan_of(default, fresh)
    assert not any("new~13" in name for name in plan.outputs)
    assert all("quality" not in plan.cell_job(ident) for ident in idents(plan))
    shared = plan_of(default, {**GRID, "new_tokens": [16], "scored": False})
    assert set(shared.outputs) <= before
    assert any("quality" in shared.cell_job(ident) for ident in idents(shared)), (
        "experiment steps scores these"
    )


def test_runs_walk_in_other_orders(default, tmp_path):
    """Two runs time the same prompts in another order, and record what the reference wrote."""
    arms.write_model(tmp_path / "model", True, None)
    prompts = [{"id": f"p{k}", "task": "t", "prompt": "a b", "answer": "c"} for k in range(6)]
    orders = []
    for run in (1, 2):
        facts = _measured(tmp_path / "model", prompts, run)
        orders.append([sample["prompts"][0] for sample in facts["samples"]])
        assert {output["prompt"] for output in facts["reference_outputs"]} == set(orders[-1])
        assert facts["reference_outputs"] == facts["outputs"], "one greedy model under two names"
    assert set(orders[0]) == set(orders[1]) and orders[0] != orders[1]


def _measured(model, prompts, run):
    import time

    from pardec.measure.cell import ArmSpec, Spec, run_cell
    from pardec.measure.settings import MeasureSettings

    arm = ArmSpec(model, "autoregressive", {})
    spec = Spec(arm, arm, prompts, 1, None, 4, "cpu", "float32", 1, 5, run=run)
    limits = MeasureSettings(warmup_passes=1, min_samples=6, max_samples=6, budget_s=0.01, timeout_s=30)
    facts = run_cell(spec, limits, time.time())
    assert facts["status"] == "ok", facts["reason"]
    return facts


class Counted(torch.nn.Module):
    """A model whose passes take a millisecond a token on its own clock."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.info = SimpleNamespace(max_positions=512, vocab_size=8)
        self.now = 0
        self.seen = []

    def new_cache(self, batch, size):
        return SimpleNamespace(crop=lambda length: self.seen.append(("crop", length)), size=size)

    def forward(self, tokens, cache=None, canvas_start=None):
        self.now += tokens.shape[1] * 1_000_000
        self.seen.append(("pass", tokens.shape[1]))
        return torch.zeros(1, tokens.shape[1], 8)


NGRAM = {"drafter": {"name": "ngram"}}


def timed_pair(job, decoder, settings, reference=None, **changes):
    assert job.start(settings=settings, decoder=decoder, reference=reference or {}, **changes) == 0
    body = job.record()
    return [*body["outputs"], *body["reference"]["outputs"]]


def test_in_a_shorter_format_a_record_tells_how_close_its_tokens_were(tmp_path, monkeypatch):
    given = timed_pair(arms.Job(tmp_path, monkeypatch), "speculative", NGRAM, precision="bfloat16")
    assert len(given) == 8
    for output in given:
        end = output["tokens"].index(2) + 1 if 2 in output["tokens"] else 6
        assert len(output["margins"]) == end and min(output["margins"]) >= 0
        assert 0 <= output["behind_ulp"] <= 2


@pytest.mark.parametrize(
    ("decoder", "settings", "precision"),
    [
        ("speculative", NGRAM, "float32"),
        ("autoregressive", {}, "bfloat16"),
    ],
)
def test_elsewhere_rounding_excuses_nothing_and_nothing_is_told(
    tmp_path, monkeypatch, decoder, settings, precision
):
    given = timed_pair(arms.Job(tmp_path, monkeypatch), decoder, settings, precision=precision)
    assert len(given) == 8 and not any("behind_ulp" in output for output in given)


def test_drawn_outputs_have_no_best_token(tmp_path, monkeypatch):
    drawn = NGRAM | {"acceptance": {"name": "residual"}, "temperature": 1.0}
    reference = {"settings": {"temperature": 1.0}}
    given = timed_pair(arms.Job(tmp_path, monkeypatch), "speculative", drawn, reference, precision="bfloat16")
    assert given and not any("behind_ulp" in output for output in given)


def test_cost_of_width_is_the_time_of_one_cached_pass():
    model = Counted()
    clock = HostClock(lambda: model.now, lambda: model.now)
    taken = measure_verify_cost(model, clock, 3, rounds=4)
    assert taken == {width: [float(width)] * 4 for width in NODES}
    passes = [entry for entry in model.seen if entry[0] == "pass"]
    assert passes[0] == ("pass", CONTEXT), "the context is read once"
    rounds = [
        tuple(width for _, width in passes[1 + k * len(NODES) : 1 + (k + 1) * len(NODES)]) for k in range(9)
    ]
    assert all(sorted(turn) == sorted(NODES) for turn in rounds) and len(set(rounds)) > 1
    assert all(entry == ("crop", CONTEXT) for entry in model.seen if entry[0] == "crop")


def test_a_model_too_short_for_the_widest_pass_is_refused():
    model = Counted()
    model.info.max_positions = CONTEXT + 10
    with pytest.raises(ValueError, match="exceed"):
        measure_verify_cost(model, HostClock(), 1)


@pytest.mark.parametrize("engine", ["eager", "packed"])
def test_cost_of_width_as_a_script(tmp_path, engine):
    arms.write_model(tmp_path / "results/models/m", True, None)
    words = [
        "--model",
        "results/models/m",
        "--seed",
        1,
        "--device",
        "cpu",
        "--processes",
        2,
        "--engine",
        engine,
    ]
    done = run_script("measure_verify_cost", *words, "--out", "results/verify_cost/m.json", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    body = json.loads((tmp_path / "results/verify_cost/m.json").read_text())
    assert [entry["nodes"] for entry in body["widths"]] == list(NODES)
    assert all(ms > 0 for entry in body["widths"] for ms in entry["samples_ms"])
    assert all(set(entry["process"]) == {0, 1} for entry in body["widths"])
    assert (body["engine"], body["precision"], body["threads"]) == (engine, "float32", 1)
    used = {name.rpartition("/")[2] for name in body["provenance"]["code"]}
    assert ("packed.py" in used) == (engine == "packed")
    assert body["provenance"]["inputs"] and "content_sha256" in body["provenance"]["outputs"][0]


def test_shapes_of_one_arm_on_one_workload_are_rows_of_their_own():
    """Two lengths of one workload have different times and outputs: no row and no verdict mixes them."""
    short = made.record(made.BASE, "sort", made.AR)
    long = copy.deepcopy(short)
    for cell in (long["cell"], long["reference"]["cell"]):
        cell["new_tokens"] = 2 * made.NEW
    long["cell"]["id"] = short["cell"]["id"].replace(f"new~{made.NEW}", f"new~{2 * made.NEW}")
    for sample in (*long["samples"], *long["reference"]["samples"]):
        sample["e2e_ms"] *= 3
    rows = made.frames([short, long], ("draft_prompts", "draft"))["draft"]
    latency = {
        row.task: (row.new_tokens, row.latency_ms) for row in rows.itertuples() if row.arm == made.BASELINE
    }
    assert [length for length, _ in latency.values()][:2] == [made.NEW, 2 * made.NEW] and len(latency) == 3
    one, other = (f"sort (new {length})" for length in (made.NEW, 2 * made.NEW))
    assert latency[other][1] == pytest.approx(3 * latency[one][1])
    alone = made.frames([short], ("draft_prompts", "draft"))["draft"]
    assert list(alone.task) == ["sort"]
