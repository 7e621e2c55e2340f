"""Wrong input through the real workflow: one clear message, exit status not 0, nothing measured lost."""

import json
import os

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


def test_corrupt_checkpoint(project):
    path = project.path("results/models/diffusion-copy/model.safetensors")
    good = path.read_bytes()
    record = "results/cells/steps/copy/diffusion-copy/diffusion/steps~4+new~16+batch~1/timing.json"
    before = project.path(record).read_text()
    command = json.loads(before)["provenance"]["command"]
    try:
        path.write_bytes(good[: len(good) // 2])
        done = run(project, command)
        body = json.loads(project.path(record).read_text())
        assert done.returncode == 0, "the rest of the report is made"
        assert body["status"] == "failed" and "model.safetensors" in body["reason"]
        assert "Traceback" not in done.stderr
    finally:
        path.write_bytes(good)
        project.path(record).write_text(before)


def run(project, command):
    import shlex
    import subprocess
    import sys

    words = [sys.executable, *shlex.split(command)[1:]]
    env = {**os.environ, "PYTHONPATH": str(project.folder)}
    return subprocess.run(words, cwd=project.folder, capture_output=True, text=True, env=env)


def test_a_wrong_claim_stops_before_any_job(project):
    claim = "claims:\n  - id: mine.1\n    statement: x\n    expected: y\n"
    claim += "    rows: { row: { from: cells, pick: most ratios } }\n    reproduced_if: row.ratio > 1\n"
    project.path("my-claims.yaml").write_text(claim)
    wanted = ["my-claims.yaml:5: claims.0.rows.row", "'ratios'"]
    assert "Job stats" not in refused(project, 'claims=["my-claims.yaml"]', wanted=wanted)
    project.path("my-claims.yaml").unlink()
