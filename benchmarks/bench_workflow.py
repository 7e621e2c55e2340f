"""Where the workflow's time goes: training, timed regions, imports, Snakemake.

Needs a finished `make all`. Times every cell once more through the real workflow, in a copy, so that the results stay
as they are, and holds imports and scheduling against their bar.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.jobs import job

ROOT = Path(__file__).resolve().parents[1]
BAR = 0.15
"""Greatest share of the timing stage that imports and scheduling may take."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cores", default="1")
    parser.add_argument(
        "--configfile", nargs="*", default=[], help="overlays of the study whose results stand here"
    )
    parser.add_argument("--out", default="results/bench/workflow.json")
    args = parser.parse_args()
    if not (ROOT / "results/report.html").exists():
        raise UserError("results/report.html", "does not exist", "run `make all` first")

    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "project"
        ignored = shutil.ignore_patterns(".venv", ".git", ".pytest_cache", "published")
        shutil.copytree(ROOT, copy, ignore=ignored)
        planning = timed(copy, args, "-n")
        wall = timed(copy, args, "--forcerun", "time_cell", "--until", "time_cell")
        records = [read_json(path) for path in copy.glob("results/cells/**/timing.json")]

    jobs = sum(record["job_s"] for record in records)
    measured = sum(record.get("measured_s", 0) for record in records)
    ready = sorted(record["ready_s"] for record in records if "ready_s" in record)
    overhead = (wall - measured) / wall
    training = [json.loads(path.read_text()) for path in ROOT.glob("results/models/*/training.json")]
    result = {
        "cells": len(records),
        "training_cpu_s": sum(entry["cpu_s"] for entry in training),
        "planning_s": planning,
        "timing_stage_s": wall,
        "measured_s": measured,
        "imports_s": sum(ready),
        "snakemake_s": wall - jobs,
        "ready_median_s": ready[len(ready) // 2],
        "ready_worst_s": ready[-1],
        "overhead_share": overhead,
        "launch": sorted({record["launch"] for record in records}),
    }
    write_json(ROOT / args.out, result)
    for key, value in result.items():
        print(f"{key:>18}  {value:.3f}" if isinstance(value, float) else f"{key:>18}  {value}")
    outcome = "within" if overhead <= BAR else "OVER"
    print(f"imports and scheduling take {overhead:.1%} of the timing stage: {outcome} the bar of {BAR:.0%}")


def timed(folder: Path, args: argparse.Namespace, *words: str) -> float:
    """Return wall seconds of one snakemake call in `folder`."""
    command = ["snakemake", "all", "--cores", args.cores, "--resources", "gpu=1", "--quiet", "all"]
    command += ["--configfile", *args.configfile] if args.configfile else []
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    begin = time.monotonic()
    subprocess.run([*command, *words], cwd=folder, check=True, env=env, stdout=subprocess.DEVNULL)
    return time.monotonic() - begin


if __name__ == "__main__":
    with job():
        main()
