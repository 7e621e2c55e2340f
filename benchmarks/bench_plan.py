"""How planning grows with the study: a dry run and a run with nothing to do, at 100, 1,000 and 5,000 cells.

Nothing is measured or trained: the records and what they rest on are empty files, and the target is every record.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.jobs import job
from pardec.study.plan import Plan

ROOT = Path(__file__).resolve().parents[1]
SIZES = (100, 1_000, 5_000)
BAR_S = 10.0
"""Most seconds that either may take at any size."""
SECTIONS = ("data", "models", "arms", "workloads", "experiments")


def study(cells: int) -> dict[str, Any]:
    """Return an overlay of `config` with `cells` cells: one arm over batch sizes and canvas lengths."""
    model = {"source": "train", "data": "d", "objective": {"family": "autoregressive"}}
    work = {"data": "d", "task": "copy", "new_tokens": 16, "models": {"ar": "m"}, "metrics": ["exact"]}
    batches = list(range(1, 51))
    grid = {"workloads": ["w"], "arms": ["a"], "reference": None, "batch": batches}
    return {
        "include": [],
        "name": "planning",
        "title": "Planning",
        "seed": 1,
        "data": {"d": {"source": "tasks", "tasks": {"copy": {}}}},
        "models": {"m": model},
        "arms": {"a": {"model": "ar", "decoder": "autoregressive"}},
        "workloads": {"w": work},
        "experiments": {
            "steps": {
                "question": "How long does planning take?",
                "grids": [{**grid, "new_tokens": list(range(16, 16 + cells // len(batches)))}],
            }
        },
    }


def measured(cells: int, folder: Path) -> dict[str, float]:
    """Seconds of a dry run from nothing, and of a real run that finds everything made."""
    over = study(cells)
    plan = Plan(over, [], ROOT)
    if len(plan.cells) != cells:
        raise UserError(
            "benchmarks/bench_plan.py", f"made {len(plan.cells)} cells, not {cells}", "mend its study"
        )
    for name in ("pardec", "scripts", "rules", "report", "profiles", "envs", "Snakefile", "config.yaml"):
        (folder / name).symlink_to(ROOT / name)
    (folder / "study.yaml").write_text(yaml.safe_dump(over), encoding="utf-8")
    (folder / "targets.txt").write_text("\n".join(plan.records()), encoding="utf-8")
    dry = timed(folder, "-n")
    now = time.time()
    names = [*plan.data_files("d"), *plan.model_files("m"), "results/data/d/provenance.json"]
    names += ["results/models/m/training.json", "results/models/m/provenance.json"]
    names += ["results/machine.json", "results/warmup.json", *plan.records()]
    for age, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
        os.utime(path, (now + age / 1e3, now + age / 1e3))
    return {"dry_run_s": dry, "nothing_to_do_s": timed(folder)}


def timed(folder: Path, *words: str) -> float:
    """Return wall seconds of one snakemake call."""
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    targets = (folder / "targets.txt").read_text(encoding="utf-8").split("\n")
    command = ["snakemake", *targets, "--cores", "1", "--quiet", "all", "--configfile", "study.yaml", *words]
    begin = time.monotonic()
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True)
    if done.returncode:
        raise UserError("snakemake", f"failed: {(done.stderr + done.stdout)[-800:]}", "mend the workflow")
    return time.monotonic() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=list(SIZES), help="numbers of cells, 50 divides each"
    )
    parser.add_argument("--out", default="results/bench/plan.json")
    args = parser.parse_args()
    result = {}
    for cells in args.sizes:
        with tempfile.TemporaryDirectory() as folder:
            result[cells] = measured(cells, Path(folder))
        print(
            "  ".join([f"{cells:>6} cells", *(f"{name} {s:6.2f}" for name, s in result[cells].items())]),
            flush=True,
        )
    for name in ("dry_run_s", "nothing_to_do_s"):
        first, last = result[args.sizes[0]][name], result[args.sizes[-1]][name]
        growth = (last - first) / max(1, args.sizes[-1] - args.sizes[0])
        outcome = "within" if last <= BAR_S else "OVER"
        print(
            f"{name}: {growth * 1e3:.2f} ms per cell, {last:.1f} s at {args.sizes[-1]}: {outcome} {BAR_S:.0f} s"
        )
    write_json(
        ROOT / args.out, {"bar_s": BAR_S, "cells": {str(cells): times for cells, times in result.items()}}
    )


if __name__ == "__main__":
    with job():
        main()
