"""The 8B studies as Snakemake sees them: planned with neither network nor card, nothing downloaded."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from pardec.study.plan import read_plan

ROOT = Path(__file__).parents[2]


def dry_run(study: str, *words: str) -> str:
    command = ["snakemake", "-n", "--nolock", "--configfile", f"studies/{study}.yaml", *words]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=offline)
    message = done.stdout + done.stderr
    assert done.returncode == 0, message
    return message


def test_a_large_study_plans_on_a_page():
    message = dry_run("8b-shape")
    assert "time_cell " in message and "fetch_model " in message and "train_model " not in message
    assert len(message) < 10_000, "a plan is to be read on a page"


@pytest.mark.parametrize("study", ["8b", "8b-blocks"])
def test_its_outputs_and_the_scores_of_models_take_the_gpu(study):
    """As docs/8b.md tells a user to look."""
    assert "--quiet host" in (ROOT / "docs/8b.md").read_text()
    listed = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", dry_run(study, "--quiet", "host"), re.M)
    plan = read_plan(ROOT, [ROOT / f"studies/{study}.yaml"])
    by_model = sum(plan.study.workloads[cell.workload].scorer is not None for cell in plan.outputs.values())
    taken = Counter(rule for rule, facts in listed if re.search(r"\bgpu=1\b", facts))
    jobs = Counter(rule for rule, _ in listed)
    assert jobs["fetch_model"] > 0 == jobs["train_model"]
    assert taken["generate_outputs"] == jobs["generate_outputs"] == len(plan.outputs) > 0
    assert taken["time_cell"] == jobs["time_cell"] == len(plan.cells)
    assert taken["score_cell"] == by_model <= jobs["score_cell"]
    assert not (ROOT / "results/models/llada-8b").exists()
