"""A cell's process that dies or hangs: its record is written by the process that watches it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas
import psutil
import pytest

from pardec.common.files import read_jsonl, write_jsonl
from pardec.evidence.tables.inputs import Inputs, check_record, read_scores, read_source
from pardec.evidence.tables.registry import TABLES
from pardec.measure import handover, supervise
from tests.faults import arms

pytestmark = pytest.mark.faults

ROOT = Path(__file__).parents[2]
WAYS = ["forked", "fresh"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A model, prompts, and a fork server of this module's own."""
    folder = tmp_path_factory.mktemp("lost")
    arms.write_model(folder / "model", causal=True)
    write_jsonl(folder / "data" / "heldout.jsonl", arms.prompts(4))
    (folder / "tmp").mkdir()
    yield folder
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if any("forkserver.py" in word for word in words) and any(str(folder) in word for word in words):
            process.kill()


class Cell:
    def __init__(self, place, out):
        self.place, self.out = place, out

    def start(self, fake, way="forked", **limits):
        measure = {**arms.FAST, "isolation": way, **limits}
        job = arms.cell_job(self.place / "model", self.place / "data", decoder="fake", measure=measure)
        words = ["--cell", json.dumps(job), "--out", self.out]
        env = {k: v for k, v in os.environ.items() if k != handover.LAUNCH}
        env |= {"PARDEC_FAKE": fake, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.place / "tmp")}
        env |= {"PARDEC_GRACE": "4", "PARDEC_PIDS": str(self.out.with_suffix(".pids"))}
        command = [sys.executable, str(ROOT / "tests/faults/lone_cell.py"), *map(str, words)]
        return subprocess.Popen(command, env=env, cwd=ROOT, text=True, stdout=-1, stderr=-1)

    def run(self, fake, way="forked", **limits):
        process = self.start(fake, way, **limits)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        assert "Traceback" not in err
        return check_record(read_source(self.out)).body

    def pids(self):
        path = self.out.with_suffix(".pids")
        end = time.monotonic() + 60
        while not (path.exists() and path.read_text().count(" ") == 1):
            assert time.monotonic() < end, "the decoder never ran"
            time.sleep(0.05)
        return [int(word) for word in path.read_text().split()]


@pytest.fixture
def cell(place, tmp_path):
    return Cell(place, tmp_path / "timing.json")


def gone(pid, within_s=10.0):
    end = time.monotonic() + within_s
    while time.monotonic() < end:
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("fake", "says"), [("Segfault", "SIGSEGV"), ("Killed", "SIGKILL")])
def test_a_process_that_dies_leaves_a_record_and_a_row(cell, fake, says, way):
    record = cell.run(fake, way)
    assert record["status"] == "failed" and says in record["reason"] and record["launch"] == way
    assert record["samples"] == [] and record["provenance"]["inputs"]
    row = arms.table_rows([cell.out])[0]
    assert (row["status"], row["n"], row["latency_ms"]) == ("failed", 0, None)


def test_no_memory_on_the_host_is_out_of_memory(cell):
    record = cell.run("Hungry")
    assert record["status"] == "oom" and record["reason"].endswith("(in the cell)")


def test_the_killer_of_the_kernel_means_out_of_memory(monkeypatch):
    """The kernel's own counter tells its kills from anybody else's."""
    counts = iter([3, 4])
    monkeypatch.setattr(supervise, "oom_kills", lambda: next(counts))
    monkeypatch.setattr(handover, "run", lambda argv, limit_s: 128 + signal.SIGKILL)
    lost = supervise.supervise(["x.py"], 5.0, fresh=False)
    assert (lost.status, lost.launch) == ("oom", "forked") and "memory" in lost.reason


@pytest.mark.parametrize("number", supervise.INTERRUPTS)
def test_an_interrupted_process_is_no_result(monkeypatch, number):
    monkeypatch.setattr(handover, "run", lambda argv, limit_s: 128 + number)
    assert supervise.supervise(["x.py"], 5.0, fresh=False) == 128 + number


@pytest.mark.parametrize("way", WAYS)
def test_a_hang_in_compiled_code_is_a_timeout_and_the_tree_ends(cell, way):
    begin = time.monotonic()
    record = cell.run("Deaf", way, timeout_s=1.0)
    assert record["status"] == "timeout" and "1 s" in record["reason"]
    assert time.monotonic() - begin < 60
    assert all(gone(pid) for pid in cell.pids()), "a process of the cell goes on"


@pytest.mark.parametrize("way", WAYS)
def test_a_killed_job_takes_its_cell_along_and_leaves_no_record(cell, way):
    """kill -9 of the process that Snakemake started: nobody can write a record, and nothing may go on in secret."""
    job = cell.start("Deaf", way, timeout_s=100.0)
    measuring, sleeper = cell.pids()
    try:
        job.kill()
        job.wait(timeout=30)
        assert gone(measuring) and not cell.out.exists()
    finally:
        if psutil.pid_exists(sleeper):
            os.kill(sleeper, signal.SIGKILL)
    assert not list(cell.out.parent.glob(".timing*")), "a half-written record"


SET = "results/quality/t/m/arm/w"


def quality(place, folder, script, fake="Killed", metric=None, **words):
    """Run a script of quality in `folder` as Snakemake does, with a decoder or metric that misbehaves."""
    env = {k: v for k, v in os.environ.items() if k != handover.LAUNCH}
    env |= {
        "PARDEC_FAKE": fake,
        "PYTHONPATH": str(ROOT),
        "TMPDIR": str(place / "tmp"),
        "PARDEC_SCRIPT": script,
    }
    env |= {"PARDEC_GRACE": "2", "PARDEC_PIDS": str(folder / "pids")}
    env |= {"PARDEC_METRIC": f"tests.faults.deadly:{metric}"} if metric else {}
    flags = [word for name, value in words.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [sys.executable, str(ROOT / "tests/faults/lone_cell.py"), *flags]
    done = subprocess.run(command, env=env, cwd=folder, text=True, capture_output=True, timeout=120)
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    return done


def outputs_of(place, folder, fake, **words):
    usual = {"model": place / "model", "arm": "a", "decoder": "fake", "data": place / "data", "workload": "t"}
    usual |= {"new_tokens": 4, "prompts": 4, "device": "cpu", "seed": 1, "out": f"{SET}/outputs.jsonl"}
    quality(place, folder, "generate_outputs.py", fake, **usual | words)
    return read_jsonl(folder / SET / "outputs.jsonl")


def score_of(place, folder, **words):
    usual = {"outputs": f"{SET}/outputs.jsonl", "metrics": "exact", "out": f"{SET}/score.json"}
    quality(place, folder, "score_cell.py", **usual | words)
    scores = read_scores([folder / SET / "score.json"])
    return TABLES.load("quality").make(Inputs(scores=scores)).to_dict("records")


@pytest.mark.parametrize(
    ("fake", "status", "says"),
    [("Segfault", "failed", "SIGSEGV"), ("Killed", "failed", "SIGKILL"), ("Deaf", "timeout", "1 s")],
)
def test_outputs_whose_process_dies_or_hangs_are_rows_with_a_reason(place, tmp_path, fake, status, says):
    rows = outputs_of(place, tmp_path, fake, timeout_s=1)
    assert len(rows) == 4 and {row["status"] for row in rows} == {status}
    assert all(says in row["reason"] and row["text"] is None for row in rows)
    (row,) = score_of(place, tmp_path)
    assert (row["status"], row["lost"]) == (status, 4) and says in row["reason"]


def test_outputs_that_were_finished_in_time_are_kept(place, tmp_path):
    write_jsonl(tmp_path / "data" / "heldout.jsonl", arms.prompts(20))
    rows = outputs_of(place, tmp_path, "Late", timeout_s=6, data=tmp_path / "data", prompts=20)
    late = [row for row in rows if row.get("status") == "timeout"]
    assert len(rows) == 20 and len(late) == 4 and "after 16 of 20 prompts" in late[0]["reason"]
    (row,) = score_of(place, tmp_path)
    assert (row["status"], row["n"], row["lost"]) == ("ok", 16, 4)


def test_a_score_whose_process_dies_is_a_row_with_a_reason(place, tmp_path):
    row = {"id": "p", "task": "t", "prompt": "1", "answer": "2", "text": "2", "tokens": [1]}
    write_jsonl(tmp_path / SET / "outputs.jsonl", [row])
    quality(place, tmp_path, "score_cell.py", metric="KilledMetric",
            outputs=f"{SET}/outputs.jsonl", metrics="exact", out=f"{SET}/score.json")  # fmt: skip
    scores = read_scores([tmp_path / SET / "score.json"])
    (row,) = TABLES.load("quality").make(Inputs(scores=scores)).to_dict("records")
    assert row["status"] == "failed" and "SIGKILL" in row["reason"]


@pytest.mark.parametrize("spoilt", ["model/config.json", "model/model.safetensors", "data/heldout.jsonl"])
def test_outputs_of_damaged_files_are_rows_with_a_reason(place, tmp_path, spoilt):
    shutil.copytree(place / "model", tmp_path / "model")
    shutil.copytree(place / "data", tmp_path / "data")
    whole = (tmp_path / spoilt).read_bytes()
    (tmp_path / spoilt).write_bytes(whole[: len(whole) // 2 - 3])
    rows = outputs_of(place, tmp_path, "Killed", model="model", data="data", decoder="autoregressive")
    assert {row["status"] for row in rows} == {"failed"} and spoilt in rows[0]["reason"]
    (row,) = score_of(place, tmp_path)
    assert row["status"] == "failed" and spoilt in row["reason"]


LIKELIHOOD = "pardec.quality.likelihood:exact_likelihood"
PASSES = "pardec.measure.verify_cost:measure_verify_cost"


def lost_row(place, folder, monkeypatch, script, killed, **words):
    """The table's only row of a likelihood or a verify_cost that failed in `killed`, and the file's content."""
    table = script.removeprefix("measure_")
    if killed:
        monkeypatch.setenv("PARDEC_KILLED", killed)
    usual = {"model": place / "model", "seed": 1, "device": "cpu", "out": f"results/{table}/model.json"}
    quality(place, folder, f"{script}.py", **usual | words)
    source = read_source(folder / f"results/{table}/model.json")
    kind = "likelihoods" if table == "likelihood" else "verify_costs"
    tables = {} if table == "likelihood" else {"draft": pandas.DataFrame()}
    (row,) = TABLES.load(table).make(Inputs(**{kind: (source,)}, tables=tables)).to_dict("records")
    assert row["record_sha256"] == source.sha256 and source.body["provenance"]["inputs"]
    return row, source.body


def test_a_likelihood_whose_process_dies_is_a_row_with_a_reason(place, tmp_path, monkeypatch):
    shutil.copytree(place / "data", tmp_path / "data")
    (tmp_path / "data" / "about.json").write_text('{"answers_end": true}')
    row, body = lost_row(place, tmp_path, monkeypatch, "measure_likelihood", LIKELIHOOD,
                         data="data", prompts=2, samples=2)  # fmt: skip
    assert (row["model"], row["status"], body["n"]) == ("model", "failed", 0) and "SIGKILL" in row["reason"]


def test_a_target_whose_timing_dies_is_a_row_with_a_reason(place, tmp_path, monkeypatch):
    row, body = lost_row(place, tmp_path, monkeypatch, "measure_verify_cost", PASSES, processes=2)
    assert (row["key"], row["status"], body["widths"]) == ("model", "failed", []) and "SIGKILL" in row[
        "reason"
    ]


def test_a_target_of_damaged_weights_is_a_row_with_a_reason(place, tmp_path, monkeypatch):
    shutil.copytree(place / "model", tmp_path / "model")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"cut")
    row, _ = lost_row(place, tmp_path, monkeypatch, "measure_verify_cost", None, model="model", processes=1)
    assert row["status"] == "failed"
    assert "model.safetensors: is not a whole safetensors file" in row["reason"]
