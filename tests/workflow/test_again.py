"""A second run from nothing makes the same bytes wherever no clock is involved."""

import json
import os
import shutil
import subprocess

import pytest

from tests.conftest import SMOKE, SNAKEMAKE

pytestmark = [pytest.mark.workflow, pytest.mark.thorough]

CLOCKED = ("start", "end", "machine", "self_sha256", "cpu_s", "wall_s")
"""Keys that a clock or the machine writes; those of `training.json` too, whose hash therefore differs."""


@pytest.fixture(scope="module")
def again(project, tmp_path_factory):
    """Data, models, outputs, scores and likelihoods of the smoke study, made once more in another folder."""
    folder = tmp_path_factory.mktemp("again") / "run"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".snakemake", ".git", "results"))
    results = project.path("results")
    result = [*results.glob("quality/**/score.json"), *results.glob("likelihood/*.json")]
    targets = [path.relative_to(project.folder).as_posix() for path in result]
    targets += ["results/study.json", "results/floors.json"]
    command = [str(SNAKEMAKE), *targets, "--cores", "2", "--resources", "gpu=1", *SMOKE]
    env = {**os.environ, "PATH": f"{SNAKEMAKE.parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, env=env)
    assert done.returncode == 0, done.stderr[-4000:]
    return folder


def files(folder):
    """Everything that was made, logs aside, by name."""
    made = (
        path.relative_to(folder / "results") for path in (folder / "results").rglob("*") if path.is_file()
    )
    return {path.as_posix() for path in made if path.parts[0] not in ("logs", "lists")}


def timeless(entry):
    if isinstance(entry, dict):
        clocked = str(entry.get("path", "")).endswith("training.json")
        kept = {key: value for key, value in entry.items() if key not in CLOCKED}
        return {key: timeless(value) for key, value in kept.items() if not (clocked and key == "sha256")}
    return [timeless(item) for item in entry] if isinstance(entry, list) else entry


def test_a_second_run_makes_the_same_bytes(project, again):
    made = files(again)
    assert len(made) > 60 and made <= files(project.folder)
    exact = {
        name for name in made if not name.endswith((".json",)) or name.endswith(("config.json", "about.json"))
    }
    kinds = {name.rpartition("/")[2] for name in exact}
    assert {"train.jsonl", "heldout.jsonl", "model.safetensors", "outputs.jsonl", "config.json"} <= kinds
    for name in sorted(made):
        first, second = (folder / "results" / name for folder in (project.folder, again))
        if name in exact:
            assert first.read_bytes() == second.read_bytes(), name
        else:
            assert timeless(json.loads(first.read_bytes())) == timeless(json.loads(second.read_bytes())), name
