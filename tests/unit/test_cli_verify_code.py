"""`pardec verify` names changed files of code, studies that jobs were not given, and lists that name other files."""

import shlex
import shutil
from pathlib import Path

import pytest

from pardec.audit import remake
from pardec.audit import verify as audit
from pardec.audit.archive import open_run
from pardec.audit.run import Origin, Run
from pardec.audit.verify import changed_code
from pardec.common.files import sha256, write_json
from pardec.evidence.crate import copy_name
from pardec.study.plan import read_plan
from tests.finished_run import CODE
from tests.forging import edit_json
from tests.verifying import faults

pytestmark = pytest.mark.usefixtures("remembered")


def test_a_changed_or_missing_file_of_code_is_named_exactly(tmp_path):
    """Of many files that a job ran, a strategy loaded by name among them, the edited one and no other."""
    for name in ("base.py", "tree.py", "gone.py"):
        (tmp_path / name).write_text(name)
    code = {path.name: sha256(path) for path in tmp_path.iterdir()}
    jobs = [Origin(f"job-{number}", {"code": code}) for number in range(3)]
    assert not list(changed_code(tmp_path, jobs))
    (tmp_path / "tree.py").write_text("edited")
    (tmp_path / "gone.py").unlink()
    assert [path for path, _ in changed_code(tmp_path, jobs)] == ["gone.py", "tree.py"]


def test_code_edited_since_is_named_before_everything(results, tmp_path, by_hashes):
    root = Path(__file__).parents[2]
    copy = tmp_path / "project"
    with open_run(results) as run:
        used = {file for origin in run.origins().values() for file in origin.block.get("code") or ()}
    assert "pardec/evidence/tables/views.py" in used, "loaded by name"
    for file in used:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / file, copy / file)
    assert not faults(results, copy)
    with open(copy / CODE[0], "a") as file:
        file.write("# later\n")
    assert list(faults(results, copy)) == [CODE[0]]


@pytest.fixture
def planned(tmp_path, monkeypatch):
    """Return results that hold a real study, and of some of its cells what their jobs were given."""
    root = Path(__file__).parents[2]
    plan = read_plan(root)
    results = tmp_path / "results"
    study = plan.study.model_dump(mode="json")
    write_json(results / "study.json", study)
    for cell in list(plan.cells)[:3]:
        command = shlex.join(["python", "scripts/time_cell.py", "--cell", plan.cell_json(cell), "--out", "x"])
        write_json(tmp_path / plan.record(cell), {"provenance": {"rule": "time_cell", "command": command}})
    return results, study, [plan.record(cell) for cell in plan.cells]


def test_a_study_that_its_jobs_were_not_given_is_named(planned):
    results, study, records = planned

    def given():
        with open_run(results) as run:
            return dict(audit._given(run))

    assert not given()
    edit_json(
        results.parent / records[1],
        lambda body: body["provenance"].update(
            command=body["provenance"]["command"].replace('"batch":1', '"batch":2')
        ),
    )
    assert list(given()) == [records[1]]
    study["measure"]["budget_s"] += 1
    write_json(results / "study.json", study)
    assert list(given()) == ["results/study.json"]


def test_a_list_names_exactly_the_records_of_the_study(planned):
    results, _, records = planned

    def listed(lines):
        (results / "lists").mkdir(exist_ok=True)
        (results / "lists/inputs.txt").write_text("\n".join(lines))
        with open_run(results) as run:
            return dict(audit._listed(run, run.files(), dict.fromkeys(records)))

    assert not listed(records)
    assert "lacks" in listed(records[1:])["results/lists/inputs.txt"]


def test_a_list_that_names_what_no_job_wrote_is_named(results, by_hashes):
    path = results / "lists/inputs.txt"
    path.write_text(path.read_text().replace("mdm-grid", "mdm-gruf", 1))
    assert "results/lists/inputs.txt" in faults(results)


@pytest.mark.parametrize("path", ["mine/claims.yaml", "/elsewhere/my claims.yaml"])
def test_a_users_file_is_read_from_the_runs_own_copy(tmp_path, path):
    copy = tmp_path / "results/workflow" / copy_name(path)
    copy.parent.mkdir(parents=True)
    copy.write_text("claims: []")
    run = Run(tmp_path / "results", "made")
    assert remake._given(run, path) == str(copy)
    copy.unlink()
    assert remake._given(run, path) == path
    assert remake._given(run, "studies/claims.yaml") == str(remake.ROOT / "studies/claims.yaml")
