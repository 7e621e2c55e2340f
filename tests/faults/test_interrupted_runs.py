"""A run that is killed, interrupted, started twice: the same command goes on, and only what was lost runs again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml

from tests import tiny_study
from tests.conftest import SNAKEMAKE, copy_project
from tests.tiny_study import overlay

pytestmark = [pytest.mark.workflow, pytest.mark.faults]

# Cells of two seconds: long enough to be caught in the act.
STUDY = overlay(budget_s=2.0, max_samples=5000, target_half_width=0.0001)
RECORDS = tiny_study.targets(STUDY, scores=False)


def _interruptible():
    """What a shell starts in the background ignores interrupts, and so would all that these tests start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Folder:
    def __init__(self, path):
        self.path = path
        (path / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
        self.env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def start(self, *more, targets=RECORDS):
        command = [
            str(SNAKEMAKE),
            *targets,
            "--cores",
            "2",
            "--resources",
            "gpu=1",
            "--quiet",
            "host",  # rules are counted in what it prints
            "--configfile",
            "tiny.yaml",
        ]
        with open(self.path / "output.txt", "w") as output:
            return subprocess.Popen(
                [*command, *more],
                cwd=self.path,
                env=self.env,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=_interruptible,
            )

    def run(self, *more, targets=RECORDS):
        process = self.start(*more, targets=targets)
        process.wait(timeout=300)
        return process.returncode, self.output()

    def output(self):
        return (self.path / "output.txt").read_text()

    def records(self):
        return {name: (self.path / name).read_bytes() for name in RECORDS if (self.path / name).exists()}

    def cells(self):
        """Return processes of timing jobs: those that Snakemake started."""
        return [process for process in self.processes() if "scripts/time_cell.py" in process.cmdline()[1:2]]

    def another(self):
        """Timing jobs that run after some record was made; the job that made it may still be ending."""
        made = self.records()
        return made and [cell for cell in self.cells() if not made.keys() & set(cell.cmdline())]

    def processes(self):
        result = []
        for process in psutil.process_iter(["cwd"]):
            try:
                if process.info["cwd"] == str(self.path) and process.cmdline():
                    result.append(process)
            except psutil.Error:
                continue
        return result

    def until(self, ready, what, seconds=120):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            result = ready()
            if result:
                return result
            time.sleep(0.1)
        raise AssertionError(f"not within {seconds} s: {what}\n{self.output()[-3000:]}")

    def quiet(self):
        self.until(lambda: not self.processes(), "all processes have ended", 30)

    def whole(self):
        """Nothing half-written stands under a name that a rule reads."""
        for data in self.records().values():
            body = json.loads(data)
            assert body["status"] == "ok" and body["samples"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data, models and the machine's description; no cell timed yet."""
    folder = Folder(copy_project(tmp_path_factory.mktemp("interrupted")))
    status, output = folder.run(targets=["results/machine.json", "results/warmup.json"])
    assert status == 0, output[-3000:]
    return folder


@pytest.fixture
def folder(made):
    """No record; no lock, whatever the test before left."""
    yield made
    subprocess.run([str(SNAKEMAKE), "--unlock"], cwd=made.path, env=made.env, capture_output=True)
    made.quiet()
    for name in RECORDS:
        (made.path / name).unlink(missing_ok=True)


def timed(output):
    """How many timing jobs a run started."""
    return output.count("rule time_cell:")


def test_kill_of_a_timing_job_loses_that_job_only(folder):
    run = folder.start()
    folder.until(folder.another, "a record, and another cell running")[0].kill()
    run.wait(timeout=200)
    assert run.returncode != 0
    kept = folder.records()
    assert len(kept) == len(RECORDS) - 1, "the other cells went on"
    status, output = folder.run()
    assert status == 0 and timed(output) == 1
    assert {name: data for name, data in folder.records().items() if name in kept} == kept
    folder.whole()


def test_kill_of_snakemake_itself(folder):
    run = folder.start()
    folder.until(folder.another, "a record, and another cell running")
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    folder.quiet()
    kept = folder.records()
    folder.whole()
    status, output = folder.run()
    assert status != 0 and "LockException" in output and "unlock" in output, "it must say how to go on"
    assert "Traceback" not in output
    subprocess.run(
        [str(SNAKEMAKE), "--unlock"], cwd=folder.path, env=folder.env, check=True, capture_output=True
    )
    status, output = folder.run()
    assert status == 0 and timed(output) == len(RECORDS) - len(kept)
    assert {name: data for name, data in folder.records().items() if name in kept} == kept
    folder.whole()


def test_two_interrupts_end_a_run_and_leave_nothing_behind(folder):
    run = folder.start()
    folder.until(lambda: folder.cells(), "a cell runs")
    for _ in range(2):
        os.killpg(run.pid, signal.SIGINT)
        time.sleep(0.3)
    assert run.wait(timeout=60) != 0
    folder.quiet()
    folder.whole()
    # The second one may meet the interpreter as it ends, which then says so itself.
    ours = re.sub(
        r"Exception ignored in: <module 'threading'.*?KeyboardInterrupt", "", folder.output(), flags=re.S
    )
    assert "Traceback" not in ours.split("KeyboardInterrupt")[0]
    status, _ = folder.run()
    assert status == 0 and len(folder.records()) == len(RECORDS)
    folder.whole()


def test_a_second_run_in_the_folder_is_refused_and_harms_nothing(folder):
    run = folder.start()
    folder.until(lambda: folder.cells(), "a cell runs")
    first = (folder.path / "output.txt").rename(folder.path / "first.txt")
    status, output = folder.run()
    assert status != 0 and "LockException" in output and "Traceback" not in output
    assert run.wait(timeout=200) == 0, first.read_text()[-3000:]
    assert len(folder.records()) == len(RECORDS)
    folder.whole()


@pytest.mark.parametrize("name", ["results/models/m-ar/model.safetensors", "results/data/d/heldout.jsonl"])
def test_an_artefact_cut_short_fails_its_cells_which_run_again_once_it_is_whole(folder, name):
    def endings():
        return {json.loads(data)["status"] for data in folder.records().values() if b"m-ar" in data}

    whole = (folder.path / name).read_bytes()
    try:
        (folder.path / name).write_bytes(whole[: len(whole) // 2])
        status, output = folder.run()
        assert status == 0 and name in output and "fix: " in output and "Traceback" not in output
        assert endings() == {"failed"}
    finally:
        (folder.path / name).write_bytes(whole)
    assert folder.run()[0] == 0 and endings() == {"ok"}
