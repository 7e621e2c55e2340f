"""A study through profiles/lambda-slurm on a real Slurm: where jobs run, and what a cancelled or killed one costs."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path

import psutil
import pytest
import yaml

from tests.cluster.slurm import Slurm, why_not
from tests.conftest import SNAKEMAKE, copy_project
from tests.tiny_study import overlay, targets

pytestmark = pytest.mark.cluster

TIMED = ("describe_machine", "warm_up", "time_cell", "measure_verify_cost")
MODELS = ("generate_outputs", "measure_likelihood")
"""Jobs that are not timed and run models."""
# Cells long enough to be caught in the act.
STUDY = overlay(budget_s=4.0, max_samples=5000, target_half_width=0.0001)
QUICK = (
    "--slurm-status-command",
    "squeue",
    "--slurm-no-account",
    "--slurm-init-seconds-before-status-checks",
    "2",
)
QUICK += ("--seconds-between-status-checks", "2", "--latency-wait", "20", "--resources", "gpu=2")


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    missing = why_not()
    if missing:
        pytest.skip(missing)
    slurm = Slurm(tmp_path_factory.mktemp("slurm"))
    try:
        try:
            slurm.start()
        except (AssertionError, OSError) as error:
            # A container may forbid devices or ports. Who asks for this test is told; CI goes on, with the reason.
            if os.environ.get("PARDEC_SLURM") != "optional":
                raise
            pytest.skip(f"Slurm is installed and does not start here: {error}")
        yield slurm
    finally:
        slurm.stop()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = copy_project(tmp_path_factory.mktemp("cluster"))
    (folder / "tiny.yaml").write_text(yaml.safe_dump(STUDY))
    return folder


def tiny():
    """Return records and scores of the tiny study, and the machine, which comes first by priority, not as an input."""
    return [*targets(STUDY), "results/machine.json", "results/warmup.json"]


def start(slurm, folder, wanted, study):
    command = [str(SNAKEMAKE), *wanted, "--configfile", study, "--workflow-profile"]
    command += ["profiles/lambda-slurm", *QUICK]
    env = {**slurm.env, "PATH": f"{Path(sys.executable).parent}:{slurm.env['PATH']}"}
    with open(folder / "log.txt", "a") as message:
        return subprocess.Popen(
            command, cwd=folder, env=env, stdout=message, stderr=message, start_new_session=True
        )


def log_of(folder):
    return (folder / "log.txt").read_text()


def rule(job):
    result = re.search(r"Comment=rule_([a-z]+(?:_[a-z]+)*?)(?:_wildcards|\s)", job["line"])
    return result[1] if result else ""


def running(slurm, name):
    return [job for job in slurm.jobs() if rule(job) == name and job["JobState"] == "RUNNING"]


def records(folder):
    return {path: path.read_bytes() for path in (folder / "results/cells").rglob("timing.json")}


def finished(folder):
    """The records, once Snakemake has seen the jobs of all of them end."""
    made = records(folder)
    return made if log_of(folder).count("(Rule: time_cell)") >= len(made) > 0 else None


def measuring(folder):
    """The process that Snakemake started for a cell, and no child of it."""
    result = []
    for process in psutil.process_iter(["cmdline", "cwd"]):
        words = process.info["cmdline"] or []
        if process.info["cwd"] == str(folder) and words[1:2] == ["scripts/time_cell.py"]:
            result.append(process)
    return result


def another(folder):
    """A process that measures after some record was made; the one that made it may still be ending."""
    made = {str(path.relative_to(folder)) for path in records(folder)}
    return made and [process for process in measuring(folder) if not made & set(process.info["cmdline"])]


def ended(slurm, name, state):
    return [job for job in slurm.jobs() if rule(job) == name and job["JobState"] == state]


def test_a_study_that_is_cancelled_killed_and_resumed(slurm, folder):
    run = start(slurm, folder, tiny(), "tiny.yaml")
    try:
        # One job is cancelled by hand, the process of another is killed; both are tried again by themselves.
        [first] = slurm.wait(
            lambda: running(slurm, "time_cell"), 200, f"a cell runs: {log_of(folder)[-3000:]}"
        )
        slurm.run("scancel", first["JobId"])
        victim = slurm.wait(lambda: another(folder), 200, "a record, and another cell's process")[0]
        victim.kill()
        slurm.wait(lambda: ended(slurm, "time_cell", "FAILED"), 60, "the killed process fails its job")
        slurm.wait(lambda: running(slurm, "time_cell"), 60, "another cell runs")
        # What Snakemake has not yet seen finished it may make again.
        before = slurm.wait(lambda: finished(folder), 60, "Snakemake has seen the records")
    finally:
        # Then the workflow itself is killed: its jobs outlive it, as on any cluster, until they are cancelled.
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
    slurm.run("scancel", "--user=root")
    slurm.wait(lambda: not slurm.run("squeue", "-h").strip(), 60, "an empty queue")
    assert ended(slurm, "time_cell", "CANCELLED")

    env = {**slurm.env, "PATH": f"{Path(sys.executable).parent}:{slurm.env['PATH']}"}
    subprocess.run([str(SNAKEMAKE), "--unlock"], cwd=folder, env=env, check=True, capture_output=True)
    again = start(slurm, folder, tiny(), "tiny.yaml")
    assert again.wait(timeout=240) == 0, log_of(folder)[-4000:]
    for path in targets(STUDY):
        assert (folder / path).is_file(), path
    assert {path: data for path, data in records(folder).items() if path in before} == before
    for data in records(folder).values():
        body = json.loads(data)
        assert body["status"] == "ok" and body["samples"], body["reason"]


def scored_by_a_model(job):
    """Whether a job scores text, which the smoke study has a model judge."""
    return rule(job) == "score_cell" and Path(job["StdOut"]).parent.name.startswith("text_")


def ran_where_the_profile_says(jobs, folder):
    for job in jobs:
        timed = rule(job) in (*TIMED, *MODELS) or scored_by_a_model(job)
        assert job["NodeList"] == ("gpu1" if timed else "cpu1") and job["Partition"] == job["NodeList"][:3], (
            job
        )
        if timed:
            assert "gpu:1" in job["line"] and job["OverSubscribe"] == "NO"
            assert int(job["NumCPUs"]) == 8, "the node is not its own"
        assert Path(job["StdOut"]).is_relative_to(folder / "results/logs/slurm")


def test_jobs_ran_where_the_profile_says(slurm, folder):
    jobs = [job for job in slurm.jobs() if job["JobState"] == "COMPLETED"]
    wanted = {"describe_machine", "warm_up", "time_cell"}
    assert {"prepare_data", "train_model", *wanted, "generate_outputs", "score_cell"} <= {*map(rule, jobs)}
    ran_where_the_profile_says(jobs, folder)


def never_shared(jobs):
    spans = [
        (datetime.fromisoformat(job["StartTime"]), datetime.fromisoformat(job["EndTime"]), job["JobId"])
        for job in jobs
        if job["NodeList"] == "gpu1"
    ]
    spans.sort()
    assert len(spans) > 5
    for (_, end, one), (begin, _, other) in pairwise(spans):
        assert end <= begin, f"jobs {one} and {other} shared gpu1"


def test_a_timing_job_never_shares_its_node(slurm):
    never_shared(slurm.jobs())


def megabytes(message):
    return round(float(message[:-1]) * {"M": 1, "G": 1024}[message[-1]])


def test_memory_and_time_grow_with_the_attempt(slurm):
    cells = [job for job in slurm.jobs() if rule(job) == "time_cell"]
    timed = {(megabytes(job["MinMemoryNode"]), job["TimeLimit"]) for job in cells}
    assert len(timed) >= 2, "the cancelled job was not tried again with more"
    memories, limits = zip(*sorted(timed), strict=True)
    assert len(set(memories)) == len(set(limits)) == len(timed)


def test_a_study_runs_whole(slurm, tmp_path_factory):
    """The smoke study without what differs from the rest in nothing that a cluster sees: its jobs take minutes each."""
    folder = copy_project(tmp_path_factory.mktemp("whole"))
    left_out = dict.fromkeys(("flood", "batch", "length", "prompts", "grid"))
    study = {"include": ["studies/smoke.yaml"], "name": "slurm", "experiments": left_out}
    (folder / "slurm.yaml").write_text(yaml.safe_dump(study))
    before = {job["JobId"] for job in slurm.jobs()}
    run = start(slurm, folder, ["all"], "slurm.yaml")
    try:
        assert run.wait(timeout=2700) == 0, log_of(folder)[-4000:]
    finally:
        if run.poll() is None:
            os.killpg(run.pid, signal.SIGKILL)
    jobs = [job for job in slurm.jobs() if job["JobId"] not in before]
    assert {job["JobState"] for job in jobs} == {"COMPLETED"}
    cells = list(records(folder))
    assert len([job for job in jobs if rule(job) == "time_cell"]) == len(cells) > 15
    ran_where_the_profile_says(jobs, folder)
    never_shared(jobs)
    assert (folder / "results/report.html").is_file()
    env = {**os.environ, "PYTHONPATH": str(folder)}
    command = [str(SNAKEMAKE.with_name("pardec")), "verify"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
