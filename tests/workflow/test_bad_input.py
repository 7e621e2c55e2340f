"""Wrong input through the real workflow: one clear message, exit status not 0, nothing measured lost."""

import json

import pytest

pytestmark = pytest.mark.workflow


def snapshot(project):
    return {
        path: path.read_bytes()
        for path in project.path("results/cells").rglob("timing.json")
        if path.is_file()
    }


@pytest.fixture(autouse=True)
def nothing_lost(project):
    before = snapshot(project)
    yield
    assert snapshot(project) == before


def refused(project, *config, wanted):
    done = project.snakemake("--config", *config, check=False)
    output = done.stdout + done.stderr
    assert done.returncode != 0
    for part in wanted:
        assert part in output, output[-3000:]
    assert "Traceback" not in output
    return output


def test_wrong_key_stops_before_any_job(project):
    output = refused(project, 'measure={"budgets": 3}', wanted=["measure.budgets", "did you mean 'budget_s'"])
    assert output.count("fix:") == 1 and "Job stats" not in output


def test_missing_dataset_path(project):
    data = json.dumps({"mine": {"source": "path", "path": "no/such/file.jsonl", "field": "text"}})
    work = json.dumps({"copy": {"data": "mine", "task": None, "metrics": ["distinct_2"]}})
    wanted = ["data.mine.path", "no/such/file.jsonl does not exist"]
    output = refused(project, f"data={data}", f"workloads={work}", "floors=[]", wanted=wanted)
    assert "Job stats" not in output


def test_a_wrong_claim_stops_before_any_job(project):
    claim = "claims:\n  - id: mine.1\n    statement: x\n    expected: y\n"
    claim += "    rows: { row: { from: cells, pick: most ratios } }\n    reproduced_if: row.ratio > 1\n"
    project.path("my-claims.yaml").write_text(claim)
    wanted = ["my-claims.yaml:5: claims.0.rows.row", "'ratios'"]
    assert "Job stats" not in refused(project, 'claims=["my-claims.yaml"]', wanted=wanted)
    project.path("my-claims.yaml").unlink()
