"""`pardec status` tells done, stale, failed and missing cells apart, and what is left to do."""

import json
import shlex
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pardec.cli.main import app
from pardec.common.closure import digest
from pardec.common.files import sha256, write_json, write_text
from pardec.evidence.status import DONE, FAILED, MISSING, STALE, cell_states, expected, read_plan

ROOT = Path(__file__).parents[2]
SMOKE = ["studies/smoke.yaml"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The project's code and the smoke study with every cell timed, as far as records tell."""
    root = tmp_path_factory.mktemp("project")
    for name in ("pardec", "scripts", "studies", "report"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "config.yaml", root)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        plan = read_plan(root, SMOKE)
        for name in plan.datasets:
            files = plan.data_files(name)
            made_by(plan, files, f"results/data/{name}", "prepare_data", plan.data_args(name), data=name)
        for name in plan.models:
            files, args = plan.model_files(name), plan.model_args(name)
            made_by(plan, files, f"results/models/{name}", "train_model", args, model=name)
        for ident in plan.cells:
            inputs = [*plan.cell_models(ident), *plan.cell_prompts(ident)]
            path = plan.record(ident)
            command = f"python scripts/time_cell.py {plan.cell_args(ident)} --out {path}"
            code = plan.code("time_cell", ident)
            body = {"status": "ok", "job_s": 2.0, "ready_s": 0.5}
            write_json(path, body | {"provenance": origin(root, command, inputs, code)})
    return root


def made_by(plan, files, folder, script, args, **what):
    for file in files:
        write_text(file, f"content of {file}")
    block = origin(plan.root, f"python scripts/{script}.py {args}", [], plan.code(script, *what.values()))
    write_json(f"{folder}/provenance.json", block)


def origin(root, command, inputs, code):
    return {
        "command": shlex.join(shlex.split(command)),
        "inputs": [{"path": path, "sha256": sha256(path)} for path in inputs],
        "code_sha256": digest(root, code),
        "code": code,
    }


@pytest.fixture
def project(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path / "project")
    monkeypatch.chdir(tmp_path / "project")
    return tmp_path / "project"


def states(root):
    plan = read_plan(root, SMOKE)
    return plan, {one.id: one for one in cell_states(plan, root)}


def test_every_cell_is_done(project):
    plan, found = states(project)
    assert list(found) == list(plan.cells)
    assert {one.state for one in found.values()} == {DONE} and sum(one.left for one in found.values()) == 0
    done = CliRunner().invoke(app, ["status", "--configfile", *SMOKE])
    assert done.exit_code == 0 and "Nothing left to time" in done.stdout, done.output


def test_a_missing_a_failed_and_a_stale_cell(project):
    plan, found = states(project)
    lost, failed, old = list(found)[:3]
    (project / plan.record(lost)).unlink()
    body = json.loads((project / plan.record(failed)).read_text())
    (project / plan.record(failed)).write_text(json.dumps(body | {"status": "oom", "reason": "too large"}))
    body = json.loads((project / plan.record(old)).read_text())
    body["provenance"]["inputs"][0]["sha256"] = "0" * 64
    (project / plan.record(old)).write_text(json.dumps(body))
    _, found = states(project)
    assert [found[ident].state for ident in (lost, failed, old)] == [MISSING, FAILED, STALE]
    assert found[failed].why == "oom: too large" and "has changed" in found[old].why
    assert found[lost].left == found[old].left == 2.5 and found[failed].left == 0
    assert sum(one.state == DONE for one in found.values()) == len(found) - 3
    done = CliRunner().invoke(app, ["status", "--configfile", *SMOKE])
    assert done.exit_code == 0 and f"missing {lost}" in done.stdout and "5 s" in done.stdout


def test_an_edited_decoder_makes_exactly_its_cells_stale(project):
    with open(project / "pardec/decoding/masked_diffusion.py", "a") as file:
        file.write("# edited\n")
    plan, found = states(project)
    for ident, one in found.items():
        cell = plan.cells[ident]
        sides = [cell, *([cell.reference] if cell.reference else [])]
        uses = any(side.decoder == "masked_diffusion" for side in sides)
        assert one.state == (STALE if uses else DONE), ident


def test_another_setting_and_another_dataset_make_stale(project):
    _, found = states(project)
    said = ["measure={target_half_width: 0.07}"]
    plan = read_plan(project, SMOKE, said)
    assert {one.state for one in cell_states(plan, project)} == {STALE}
    (project / "results/data/text/heldout.jsonl").write_text("other")
    _, found = states(project)
    assert {one.state for ident, one in found.items() if "/text/" in ident} == {STALE}
    assert {one.state for ident, one in found.items() if "/copy/" in ident} == {DONE}


def test_time_left_follows_the_most_alike(project):
    plan, _ = states(project)
    first, *others = [ident for ident, cell in plan.cells.items() if cell.workload == "copy"]
    alike = [ident for ident in others if plan.cells[ident].arm == plan.cells[first].arm]
    past = {ident: 100.0 for ident in plan.cells if ident != first} | dict.fromkeys(alike, 3.0)
    assert expected(plan.cells, first, past) == 3.0
    assert expected(plan.cells, first, {first: 7.0}) == 7.0
    assert expected(plan.cells, first, {}) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--configfile", "nowhere.yaml"], "nowhere.yaml: does not exist"),
        (["--configfile", "scripts/tabulate.py"], "scripts/tabulate.py"),
        (["--config", "measure"], "--config measure"),
        (["--config", "measure={budgets: 1}"], "budget_s"),
    ],
)
def test_bad_input_is_one_message(project, arguments, text):
    done = CliRunner().invoke(app, ["status", *arguments])
    assert done.exit_code == 2 and text in done.stderr and "fix" in done.stderr, done.output
