"""One job of a finished run, again: by Snakemake, by the command that its file prints, from a damaged checkpoint."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from pardec.audit.archive import open_run
from pardec.audit.trace import trace
from tests.conftest import links

pytestmark = pytest.mark.workflow

RECORD = "results/cells/steps/copy/diffusion-copy/diffusion/steps~4+new~16+batch~1/timing.json"
OTHER = RECORD.replace("steps~4", "steps~16")
OUTPUTS = "results/quality/copy/diffusion-copy/diffusion/steps~4+new~16/outputs.jsonl"
SCORE = OUTPUTS.replace("outputs.jsonl", "score.json")


@pytest.fixture
def kept(project):
    """Return the function that reads a file of the run; afterwards such files are as they were."""
    before = {}

    def read(*names):
        before.update({name: project.path(name).read_bytes() for name in names})
        return [before[name] for name in names]

    yield read
    for name, content in before.items():
        project.path(name).write_bytes(content)


@pytest.fixture
def forgotten(project):
    """The run without the weights that it keeps, which a job that trains would take."""
    weights, aside = project.path(".snakemake/trained"), project.path("aside")
    weights.rename(aside)
    yield
    shutil.rmtree(weights, ignore_errors=True)
    aside.rename(weights)


def run(project, words):
    """Run the words of a command, the first of which names Python."""
    env = {**os.environ, "PYTHONPATH": str(project.folder), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *words[1:]]
    done = subprocess.run(words, cwd=project.folder, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done


def test_a_deleted_record_comes_back_alone(project, kept):
    before, untouched = kept(RECORD, OTHER)
    path = project.path(RECORD)
    path.unlink()
    project.snakemake(target=RECORD)
    assert path.exists() and path.read_bytes() != before
    assert project.path(OTHER).read_bytes() == untouched


def test_a_corrupt_checkpoint_fails_its_cell_and_the_rest_of_the_report_is_made(project, kept):
    name = "results/models/diffusion-copy/model.safetensors"
    good, record = kept(name, RECORD)
    project.path(name).write_bytes(good[: len(good) // 2])
    run(project, shlex.split(json.loads(record)["provenance"]["command"]))
    body = json.loads(project.path(RECORD).read_text())
    assert body["status"] == "failed" and "model.safetensors" in body["reason"]


def test_typed_by_hand_a_command_gives_the_same_outputs(project, tmp_path):
    """The command of a number's trail is one a person can type; outputs do not depend on how it was started."""
    record = json.loads(project.path(RECORD).read_text())
    words = shlex.split(record["provenance"]["command"])
    words[words.index("--out") + 1] = str(tmp_path / "again.json")
    cell = json.loads(words[words.index("--cell") + 1])
    cell["measure"]["isolation"] = "fresh"
    words[words.index("--cell") + 1] = json.dumps(cell)
    run(project, words)
    again = json.loads((tmp_path / "again.json").read_text())
    assert again["launch"] == "fresh" and record["launch"] == "forked"
    same = {o["prompt"]: o["tokens"] for o in record["outputs"]}
    assert all(same.get(o["prompt"], o["tokens"]) == o["tokens"] for o in again["outputs"])
    assert again["samples"][0]["nfe"] == record["samples"][0]["nfe"]
    assert again["provenance"]["code_sha256"] == record["provenance"]["code_sha256"]


def commands(run, ident):
    """The commands that a trace prints: of the value, of its table, and of each file beneath."""
    return {
        dict(link.facts)["command"]
        for link in links(trace(run, ident).value)
        if "command" in dict(link.facts)
    }


def made_by(run, command):
    """Return the file with the provenance of the job of `command`, and the files that it says it wrote."""
    origin = next(one for one in run.origins().values() if one.block["command"] == command)
    return origin.path, [path for path, _ in origin.outputs]


@pytest.mark.parametrize(
    ("script", "ident"),
    [
        ("prepare_data", "quality/copy/ar-copy/ar/new~16/exact/value"),
        ("train_model", "quality/text/ar-text/ar-text/prompt~16+new~16/distinct_2/value"),
        ("generate_outputs", "quality/copy/diffusion-copy/diffusion/steps~4+new~16/exact/value"),
        ("score_cell", None),
    ],
)
def test_a_printed_command_makes_the_same_bytes_again(project, kept, forgotten, script, ident):
    """Up to the scores; `pardec verify` makes all above them again (test_publishing.py), by commands which
    test_tampering.py holds against those that are printed."""
    with open_run(project.path("results")) as opened:
        printed = commands(opened, ident) if ident else {opened.json(SCORE)["provenance"]["command"]}
        command = sorted(line for line in printed if f"scripts/{script}.py" in line)[0]
        sidecar, written = made_by(opened, command)
    paths = written if ident else [SCORE]
    kept(sidecar)
    before = dict(zip(paths, kept(*paths), strict=True))
    assert before
    for path in paths:
        project.path(path).unlink()
    run(project, shlex.split(command))
    assert "restored" not in json.loads(project.path(sidecar).read_text())
    for path, content in before.items():
        again = project.path(path).read_bytes()
        if path.endswith("training.json"):
            assert timeless(json.loads(again)) == timeless(json.loads(content))
        elif path.endswith("score.json"):
            assert json.loads(again)["metrics"] == json.loads(content)["metrics"]
        else:
            assert again == content, path


def timeless(body):
    """Without the numbers that a clock wrote."""
    return {key: value for key, value in body.items() if not key.endswith("_s") and key != "provenance"}
