"""The 8B studies as Snakemake sees them: planned with neither network nor card, nothing downloaded."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("study", ["8b", "8b-shape"])
def test_a_large_study_plans_offline(study):
    command = ["snakemake", "-n", "--nolock", "--configfile", f"studies/{study}.yaml"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=offline)
    message = done.stdout + done.stderr
    assert done.returncode == 0, message
    assert "time_cell " in message and "fetch_model " in message and "train_model " not in message
    assert len(message) < 10_000, "a plan is to be read on a page"
    assert not (ROOT / "results/models/llada-8b").exists()
