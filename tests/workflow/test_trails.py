"""Every number leads down to raw samples, and the commands on the way make the same bytes again."""

import json
import os
import shlex
import shutil
import subprocess
import sys

import pytest

from pardec.audit.archive import open_run
from pardec.audit.trace import trace

pytestmark = pytest.mark.workflow

OUTPUTS = "results/quality/copy/diffusion-copy/diffusion/steps~4+new~16/outputs.jsonl"


def links(link):
    yield link
    for below in link.below:
        yield from links(below)


def raw(run, name):
    """What a file that a chain may end in holds of raw measurements; None where it is no such file."""
    if name.endswith("/timing.json"):
        body = run.json(name)
        return body["samples"] or body["status"] != "ok"
    if name.endswith("/score.json"):
        return [metric for metric in run.json(name)["metrics"].values() if "value" in metric]
    if "/likelihood/" in name and name.endswith(".json"):
        return "nats_per_token" in run.json(name)
    if "/verify_cost/" in name and name.endswith(".json"):
        return all(width["samples_ms"] for width in run.json(name)["widths"])
    if name == "results/machine.json":
        return run.json(name)["cpu"]
    return None


def test_every_value_leads_to_raw_samples_that_exist(project):
    with open_run(project.path("results")) as run:
        values = run.values()["values"]
        assert len(values) > 1000
        for ident, value in values.items():
            chain = list(links(trace(run, ident).value))
            assert chain[0].title == ident
            assert not [link.title for link in chain if link.matches is False], ident
            assert all(run.has(link.title) for link in chain[1:]), ident
            if ident.startswith("ideas/") and not value["records"]:
                continue  # an idea that was not run: its number in the seed, and nothing measured
            ends = [raw(run, link.title) for link in chain]
            assert any(ends) and all(end for end in ends if end is not None), ident
            assert {source["path"] for source in value["source"]} <= {link.title for link in chain}


def test_a_trace_shows_the_samples_themselves(project):
    with open_run(project.path("results")) as run:
        values = run.values()["values"]
        for ident in [
            ident for ident in values if ident.startswith("steps/") and ident.endswith("/latency_ms")
        ]:
            result = trace(run, ident)
            record = result.value.below[0].below[0]
            samples = run.json(record.title)["samples"]
            assert dict(record.facts)["samples, ms"].split()[1:] == [f"{s['e2e_ms']:.6g}" for s in samples]
            assert any("report.html" in place for place in result.printed)


@pytest.fixture(scope="module")
def clone(project, tmp_path_factory):
    """The project and its results without Snakemake's memory of them."""
    folder = tmp_path_factory.mktemp("clone") / "run"
    shutil.copytree(project.folder, folder, ignore=shutil.ignore_patterns(".snakemake", ".git"))
    return folder


def commands(run, ident):
    """The commands that a trace prints: of the value, of its table, and of each file beneath."""
    return {
        dict(link.facts)["command"]
        for link in links(trace(run, ident).value)
        if "command" in dict(link.facts)
    }


def written(run, command):
    """The files that the job of `command` says it wrote, by their hashes."""
    for origin in run.origins().values():
        if origin.block["command"] == command:
            return dict(origin.outputs)
    return {}


@pytest.mark.parametrize(
    ("script", "ident"),
    [
        ("prepare_data", "quality/copy/ar-copy/ar/new~16/exact/value"),
        ("train_model", "quality/text/ar-text/ar-text/new~16/distinct_2/value"),
        ("generate_outputs", "quality/copy/diffusion-copy/diffusion/steps~4+new~16/exact/value"),
        ("score_cell", None),
    ],
)
def test_a_printed_command_makes_the_same_bytes_again(clone, script, ident):
    """Up to the scores; `pardec verify` makes all above them again (test_publishing.py), by commands which
    test_tampering.py holds against those that are printed."""
    with open_run(clone / "results") as run:
        if ident is None:
            body = run.json(OUTPUTS.replace("outputs.jsonl", "score.json"))
            printed = {body["provenance"]["command"]}
        else:
            printed = commands(run, ident)
        command = sorted(line for line in printed if f"scripts/{script}.py" in line)[0]
        hashes = written(run, command)
    paths = [path for path in hashes if path.startswith("results/")]
    if ident is None:
        paths = [OUTPUTS.replace("outputs.jsonl", "score.json")]
    assert paths
    before = {path: (clone / path).read_bytes() for path in paths}
    for path in paths:
        (clone / path).unlink()
    env = {**os.environ, "PYTHONPATH": str(clone), "OMP_NUM_THREADS": "1"}
    words = [sys.executable, *shlex.split(command)[1:]]
    done = subprocess.run(words, cwd=clone, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    for path, content in before.items():
        again = (clone / path).read_bytes()
        (clone / path).write_bytes(content)
        if path.endswith("training.json"):
            assert timeless(json.loads(again)) == timeless(json.loads(content))
        elif path.endswith("score.json"):
            assert json.loads(again)["metrics"] == json.loads(content)["metrics"]
        else:
            assert again == content, path


def timeless(body):
    """Without the numbers that a clock wrote."""
    return {key: value for key, value in body.items() if not key.endswith("_s") and key != "provenance"}
