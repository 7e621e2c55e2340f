"""A cell's process that dies or hangs: its record is written by the process that watches it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from pardec.common.files import write_jsonl
from pardec.evidence.tables.inputs import check_record, read_source
from pardec.measure import forkserver, supervise
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
        env = {k: v for k, v in os.environ.items() if k != forkserver.LAUNCH}
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
    monkeypatch.setattr(forkserver, "run", lambda argv, limit_s: 128 + signal.SIGKILL)
    lost = supervise.supervise(["x.py"], 5.0, fresh=False)
    assert (lost.status, lost.launch) == ("oom", "forked") and "memory" in lost.reason


@pytest.mark.parametrize("number", supervise.INTERRUPTS)
def test_an_interrupted_process_is_no_result(monkeypatch, number):
    monkeypatch.setattr(forkserver, "run", lambda argv, limit_s: 128 + number)
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
