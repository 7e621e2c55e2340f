"""Profiles, containers and conda: they parse, they plan, they hold the pins, and timing jobs stay alone."""

from __future__ import annotations

import importlib.util
import os
import re
import runpy
import stat
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml

from pardec.common import host
from pardec.study.plan import Plan
from tests.tiny_study import ROOT, overlay

PROFILES = sorted(path.parent.name for path in (ROOT / "profiles").glob("*/config.yaml"))
ON_CARD = ("generate_outputs", "measure_likelihood", "score_cell", "train_model")
"""Rules that time nothing, but run models on the study's device."""
TIMED = ("describe_machine", "warm_up", "time_cell", "measure_verify_cost", "verify_model")
PINS = runpy.run_path(str(ROOT / "scripts/write_environment.py"))["pins"]()


def profile(name):
    return yaml.safe_load((ROOT / "profiles" / name / "config.yaml").read_text())


@pytest.fixture
def folder(tmp_path):
    """The project with a tiny study and no results."""
    for name in ("pardec", "scripts", "rules", "report", "profiles", "envs", "Snakefile", "config.yaml"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(overlay()))
    return tmp_path


def snakemake(folder, *words, path=""):
    command = [
        str(Path(sys.executable).with_name("snakemake")),
        "all",
        "-n",
        "--configfile",
        "tiny.yaml",
        "--quiet",
        "host",
        *words,
    ]
    env = {**os.environ, "PATH": f"{path}{os.pathsep}{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    return done.returncode, done.stdout + done.stderr


def jobs(message, rule):
    """The resources that each job of `rule` asks for, as the plan prints them."""
    return re.findall(rf"^rule {rule}:\n(?:    .*\n)*?    resources: (.*)$", message, re.M)


def test_the_profiles_are_these():
    assert PROFILES == ["default", "lambda", "lambda-slurm"]


@pytest.mark.parametrize("name", [name for name in PROFILES if name != "default"])
def test_a_profile_and_its_page_say_the_same_command(name):
    command = f"snakemake all --workflow-profile profiles/{name}"
    head = (ROOT / f"profiles/{name}/config.yaml").read_text().partition("\nexecutor:")[0]
    assert f"#   {command}\n" in head and "--profile" not in head
    assert f"{command}`" in (ROOT / "docs/cluster.md").read_text()


@pytest.mark.parametrize(
    "name",
    [pytest.param("default", marks=pytest.mark.thorough), *PROFILES[1:]],  # each run of the workflow takes it
)
def test_a_profile_plans_the_same_run(folder, name):
    if "slurm" in name and importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        pytest.skip("no executor plugin: pip install -r envs/slurm.txt")
    status, message = snakemake(folder, "--workflow-profile", f"profiles/{name}")
    assert status == 0, message[-2000:]
    counts = dict(re.findall(r"^(\w+) +(\d+)$", message, re.M))
    assert counts["time_cell"] == "4" and counts["render_report"] == "1"
    for rule in TIMED[:3]:
        for asked in jobs(message, rule):
            assert "gpu=1" in asked
            if "slurm" in name:
                assert "--exclusive" in asked and "slurm_partition=gpu" in asked
    if "slurm" in name:
        others = [
            asked for rule in ("train_model", "score_cell", "tabulate") for asked in jobs(message, rule)
        ]
        assert others and all("slurm_partition=cpu" in asked and "gpu=1" not in asked for asked in others)


@pytest.mark.parametrize("name", PROFILES)
def test_every_profile_has_what_an_interrupted_run_needs(name):
    body = profile(name)
    assert body["rerun-incomplete"] is True and body["scheduler"] == "greedy" and body["keep-going"] is True
    assert body["resources"]["gpu"] == 1, "timing jobs would run side by side"
    assert body["max-checksum-file-size"] >= 10**9


def rules():
    """The text of every rule, by name."""
    return {
        name: text
        for file in (ROOT / "rules").glob("*.smk")
        for name, text in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", file.read_text(), re.M)
    }


def test_every_rule_whose_script_takes_a_device_asks_for_the_gpu():
    asking = set()
    for name, text in rules().items():
        scripts = [(ROOT / path).read_text() for path in re.findall(r"python (scripts/\w+\.py)", text)]
        if any('"--device"' in script or "CellJob" in script for script in scripts):
            assert re.search(r"^    resources:\n        gpu=", text, re.M), f"{name} shares the GPU"
            asking.add(name)
    assert asking == {*TIMED, *ON_CARD}
    cluster = (ROOT / "docs/cluster.md").read_text()
    assert all(f"`{name}`" in cluster for name in asking)


@pytest.mark.parametrize("scorer", [[], ["results/models/judge/config.json"]])
def test_on_slurm_models_run_where_a_gpu_is(scorer):
    asked = profile("lambda-slurm")["set-resources"]
    names = {"input": SimpleNamespace(scorer=scorer), "attempt": 2}
    scoring = {key: eval(str(value), names) for key, value in asked["score_cell"].items()}
    assert (scoring["gpu"], scoring["slurm_partition"]) == ((1, "gpu") if scorer else (0, "cpu"))
    assert bool(scoring["slurm_extra"]) == bool(scorer)
    for rule in ("generate_outputs", "measure_likelihood"):
        assert asked[rule]["gpu"] == 1 and asked[rule]["slurm_partition"] == "gpu"
    assert asked["train_model"]["gpu"] == 0


@pytest.mark.parametrize(
    ("device", "sight", "wanted"),
    [
        ("cpu", True, (0, 0, 0)),
        ("auto", False, (0, 0, 0)),
        ("auto", True, (1, 1, 0)),
        ("cuda", False, (1, 1, 1)),
    ],
)
def test_jobs_take_the_gpu_where_they_use_it(monkeypatch, device, sight, wanted):
    monkeypatch.setattr(host, "may_have_gpu", lambda: sight)
    body = overlay()
    body["device"] = device
    body["workloads"]["w"] |= {"metrics": ["exact", "scorer_nll"], "scorer": "m-ar"}
    plan = Plan(body, ["tiny.yaml"], str(ROOT), [])
    output = next(iter(plan.outputs))
    assert (plan.gpu, plan.scoring_gpu(output), plan.training_gpu) == wanted
    scored = plan.metric_words(plan.outputs[output])
    assert ("--device" in scored) == (device != "cpu")
    assert plan.training_words() == (["--device", "auto"] if device == "cuda" else [])
    body["workloads"]["w"] |= {"metrics": ["exact"]}
    del body["workloads"]["w"]["scorer"]
    plain = Plan(body, ["tiny.yaml"], str(ROOT), [])
    assert plain.scoring_gpu(output) == 0 and "--device" not in plain.metric_words(plain.outputs[output])


def test_on_slurm_every_timing_job_has_a_node_of_its_own_and_more_with_each_attempt():
    body = profile("lambda-slurm")
    gpu_rules = {name for name, text in rules().items() if "gpu=1" in text}
    assert gpu_rules == set(TIMED)
    for rule in gpu_rules:
        asked = body["set-resources"][rule]
        assert asked["slurm_extra"] == "'--exclusive'" and asked["slurm_partition"] == "gpu"
        assert rule in body["set-threads"]
    for asked in [body["default-resources"], *body["set-resources"].values()]:
        for key in {"mem_mb", "runtime"} & set(asked):
            assert str(asked[key]).endswith("* attempt"), (key, asked)
    assert body["retries"] >= 1 and body["slurm-logdir"].startswith("results/logs/")


def test_the_plugin_is_pinned_and_no_part_of_the_plain_environment():
    pins = [line for line in (ROOT / "envs/slurm.txt").read_text().splitlines() if line[0] != "#"]
    assert len(pins) == 2 and all(re.fullmatch(r"[a-z-]+==[0-9.]+", pin) for pin in pins)
    assert not any("slurm" in pin for pin in PINS)


@pytest.mark.parametrize("name", ["Dockerfile", "pardec.def"])
def test_a_container_is_built_from_the_pins_and_the_same_python(name):
    text = (ROOT / "envs" / name).read_text()
    installed = re.findall(r"pip install (.*)$", text, re.M)
    assert "-r /opt/pardec/requirements.txt" in installed[0]
    assert all("-r " in line or "--no-deps" in line for line in installed), "a package beside the pins"
    assert re.search(r"requirements\.txt /opt/pardec/requirements\.txt", text)
    python = re.search(r"python:(\d+\.\d+)-", text)[1]
    conda = yaml.safe_load((ROOT / "envs/pardec.yaml").read_text())
    assert f"python={python}" in conda["dependencies"] and conda["dependencies"][-1]["pip"] == PINS
    copied = re.findall(r"^(?:COPY +|    )(pardec|[\w.]+\.(?:toml|md|txt)|LICENSE)\b", text, re.M)
    assert {"pardec", "pyproject.toml", "requirements.txt"} <= set(copied)
    assert all((ROOT / word).exists() for word in copied)


def fake_tool(folder, name, text):
    """A program that says what it was asked and does nothing."""
    tools = folder / "tools"
    tools.mkdir(exist_ok=True)
    path = tools / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(tools)


@pytest.mark.thorough
def test_apptainer_runs_every_rule_in_the_projects_container(folder):
    """A stand-in for apptainer that writes down the image and runs the command outside of it."""
    asked = folder / "asked.txt"
    (folder / "envs").unlink()
    (folder / "envs").mkdir()
    for name in ("pardec.yaml", "pardec.def"):
        (folder / "envs" / name).symlink_to(ROOT / "envs" / name)
    (folder / "envs/pardec.sif").write_text("an image")
    script = f"""case "$1" in
--version) echo "apptainer version 1.3.0"; exit 0;; esac
echo "$@" >> {asked}
while [ "$1" != "sh" ] && [ "$1" != "bash" ]; do shift; done
exec "$@"
"""
    tools = fake_tool(folder, "apptainer", script)
    fake_tool(folder, "singularity", script)
    target = "results/data/d/about.json"
    command = [str(Path(sys.executable).with_name("snakemake")), target, "--cores", "1", "--sdm", "apptainer"]
    env = {**os.environ, "PATH": f"{tools}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        [*command, "--configfile", "tiny.yaml"],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert "pardec.sif" in asked.read_text() and (folder / target).exists()


@pytest.mark.thorough
def test_without_a_container_tool_nothing_is_asked_of_one(folder):
    status, message = snakemake(folder, "--cores", "1")
    assert status == 0 and "sif" not in message


@pytest.mark.thorough
def test_conda_would_make_the_pinned_environment(folder):
    script = """case "$*" in
*info*--json*) echo '{"conda_prefix": "/nowhere", "platform": "linux-64", "conda_version": "25.1.0"}';;
*channel_priority*) echo '{"get": {"channel_priority": "strict"}}';;
*--version*) echo "conda 25.1.0";; *) echo '{}';; esac"""
    tools = fake_tool(folder, "conda", script)
    status, message = snakemake(folder, "--cores", "1", "--sdm", "conda", path=tools)
    assert status == 0, message[-2000:]
    assert re.search(r"Conda environment .*envs/pardec\.yaml will be created", message)
