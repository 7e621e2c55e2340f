"""The smoke study, published: its archive verifies, its weights are restored, and a run is held against it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess

import pytest

from pardec.audit import remake
from pardec.audit.archive import open_run
from pardec.audit.verify import verify
from tests.conftest import SMOKE, SNAKEMAKE

pytestmark = pytest.mark.workflow

RESTORED = ("ar-copy", "draft-copy", "ar-text", "diffusion-text")
"""A target with its draft, and a model with the one that starts from it."""


def pardec(folder, *words):
    """Run the command with the code of the project in `folder`."""
    command = [str(SNAKEMAKE.with_name("pardec")), *map(str, words)]
    env = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=600, check=False, env=env
    )


@pytest.fixture(scope="module")
def published(project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("published")
    done = pardec(project.folder, "publish", "results", "--study", "smoke", "--to", folder, "--level", "9")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_archive_verifies_with_its_weights_and_without_them(project, published, tmp_path, monkeypatch):
    """With them all is made again, to the byte."""
    archive = published / "smoke" / "run.tar.zst"
    done = pardec(project.folder, "verify", archive)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kept apart" not in done.stdout and "were not made again" not in done.stdout
    stages = remake.stages
    monkeypatch.setattr(
        remake, "stages", lambda run: [one for one in stages(run) if one.script == "describe_run"]
    )
    with open_run(shutil.copy(archive, tmp_path / "run.tar.zst")) as run:
        verdict = verify(run, None)
    assert not verdict.faults
    assert any("kept apart" in note for note in verdict.notes)
    assert any("folder of weights" in note for note in verdict.notes)
    names = {path.name for path in (published / "smoke").iterdir()}
    assert names == {"run.tar.zst", "report.html", "claims.md", "seconds.json", "weights"}
    models = {path.parent.name for path in project.path("results/models").glob("*/training.json")}
    assert {path.stem for path in (published / "smoke/weights").glob("*.safetensors")} == models


def test_each_claim_has_a_row_with_its_command(project, published):
    rows = [
        line for line in (published / "smoke/claims.md").read_text().splitlines() if line.startswith("| 0")
    ]
    claims = json.loads(project.path("results/claims.json").read_text())["claims"]
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == [claim["id"] for claim in claims]
    tested = [row for row in rows if "snakemake" in row]
    assert tested and all("--configfile studies/smoke.yaml --config 'only=[" in row for row in tested)
    assert all(int(row.split(" | ")[5]) >= 1 for row in tested)


def test_another_study_is_not_published_as_the_paper(project, tmp_path):
    done = pardec(project.folder, "publish", "results", "--to", tmp_path)
    assert done.returncode == 2 and "study 'smoke'" in done.stderr and not list(tmp_path.iterdir())


@pytest.fixture
def without_models(project, published, tmp_path):
    """A copy of the run that lost some models, and a function that makes targets there with published weights."""
    folder = tmp_path / "run"
    shutil.copytree(project.folder, folder, symlinks=True)
    for name in RESTORED:
        shutil.rmtree(folder / "results/models" / name)
    (published / "paper").mkdir(exist_ok=True)

    def make(*targets):
        command = [str(SNAKEMAKE), *targets, "--cores", "2", "--resources", "gpu=1", *SMOKE[:2]]
        # The folder is another: the models that are there stay.
        command += ["--rerun-triggers", "input", "mtime", "code"]
        done = subprocess.run(
            [*command, "--config", f"published={published}", *SMOKE[2:]],
            cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]

    return folder, make


def test_deleted_models_are_restored_and_said_to_be(project, published, without_models):
    folder, make = without_models
    make(*(f"results/models/{name}/model.safetensors" for name in RESTORED))
    for name in RESTORED:
        block = json.loads((folder / f"results/models/{name}/provenance.json").read_text())
        origin = json.loads((published / f"smoke/weights/{name}.json").read_text())["trained"]
        assert block["restored"] | {"sha256": None} == origin | {"sha256": None}
        new, old = (root / f"results/models/{name}/model.safetensors" for root in (folder, project.folder))
        assert new.read_bytes() == old.read_bytes()


@pytest.mark.thorough
def test_a_run_on_restored_models_reproduces_the_published_one(without_models):
    folder, make = without_models
    (folder / "results/comparison.json").unlink()
    make("results/comparison.json")
    line = json.loads((folder / "results/comparison.json").read_text())["line"]
    same, compared = map(int, re.match(r"(\d+) of (\d+) comparable values", line).groups())
    # Cells of a restored model are timed again, on a machine with noise.
    assert same >= 0.95 * compared > 0, line
