"""Synthetic records and scores in the shapes a run writes; drawn from simple laws, never measured."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pardec.common.files import write_json
from pardec.study.kinds import asked_of_tables

STEPS = (1, 2, 4, 8)
NEW = 32
PROMPTS = 40
RIGHT = {
    "grid": {None: 1.0, 1: 0.3, 2: 0.6, 4: 1.0, 8: 1.0},
    "sort": {None: 0.9, 1: 0.1, 2: 0.2, 4: 0.4, 8: 0.5},
}
"""Share of prompts each arm gets right, by steps (None: autoregressive)."""
NATS = {None: 2.0, 1: 6.0, 2: 4.0, 4: 2.3, 8: 2.0}


def settings(steps: int | None) -> dict[str, Any]:
    return (
        {"temperature": 0.0}
        if steps is None
        else {"steps": steps, "block": None, "remasking": "low_confidence"}
    )


def words(steps: int | None, new: int) -> str:
    return "+".join(([] if steps is None else [f"steps~{steps}"]) + [f"new~{new}"])


def cell(experiment: str, task: str, steps: int | None, batch: int = 1, new: int = NEW) -> dict[str, Any]:
    """What a cell is; the sequential arm where `steps` is None."""
    family = "autoregressive" if steps is None else "masked_diffusion"
    arm, model = ("ar", f"ar-{task}") if steps is None else ("mdm", f"mdm-{task}")
    place = f"{task}/{model}/{arm}/{words(steps, new)}"
    return {
        "id": f"{experiment}/{place}+batch~{batch}",
        "experiment": experiment,
        "workload": task,
        "task": task,
        "data": task,
        "model": model,
        "family": family,
        "arm": arm,
        "decoder": family,
        "settings": settings(steps),
        "engine": "eager",
        "precision": "float32",
        "device": "cpu",
        "threads": 1,
        "batch": batch,
        "prompt_tokens": None,
        "new_tokens": new,
        "role": "cell",
        "quality": f"results/quality/{place}/score.json",
    }


def typical_ms(c: dict[str, Any]) -> float:
    """Latency law: a pass costs 1 ms for one cached token, 4 ms for a whole canvas, more with batch."""
    steps = c["settings"].get("steps")
    passes, cost, growth = (
        (c["new_tokens"], 1.0, 0.3) if steps is None else (steps, 4.0 * c["new_tokens"] / NEW, 0.9)
    )
    return passes * cost * c["batch"] ** growth


def sample(c: dict[str, Any], block: int, order: int, rng: np.random.Generator) -> dict[str, Any]:
    steps, new, batch = c["settings"].get("steps"), c["new_tokens"], c["batch"]
    passes = new if steps is None else steps
    e2e = typical_ms(c) * float(rng.lognormal(sigma=0.03))
    stamps = [e2e * (k + 1) / passes for k in range(passes)]
    return {
        "block": block,
        "order": order,
        "prompts": [f"p{(block * batch + row) % 8}" for row in range(batch)],
        "e2e_ms": e2e,
        "host_ms": e2e + 0.01,
        "cpu_ms": e2e * 0.99,
        "prefill_ms": stamps[0] if steps is None else None,
        "first_ms": stamps[0],
        "first_tokens": new / passes,
        "block_ms": [stamps[-1]] if steps is not None else stamps,
        "commit_ms": stamps,
        "committed": [new / passes] * passes,
        "useful": batch * (new - 4),
        "canvas": batch * new,
        "nfe": passes,
        "token_forwards": passes if steps is None else passes * new,
        "flags": [],
    }


def record(
    c: dict[str, Any], reference: dict[str, Any] | None, n: int = 12, status: str = "ok", seed: int = 0
) -> dict[str, Any]:
    """A cell's record; a failed one keeps its shape and loses its measurements."""
    rng = np.random.default_rng([seed, *c["id"].encode()])
    taken = [sample(c, block, block % 2, rng) for block in range(n)] if status == "ok" else []
    other = None
    if reference is not None:
        same = [sample(reference, block, 1 - block % 2, rng) for block in range(n)] if status == "ok" else []
        # A record names its reference by what it ran; id and scores are the reference's own cell's affair.
        named = {key: value for key, value in reference.items() if key not in ("id", "quality")}
        other = {"cell": named, "samples": same, "warmup_ms": []}
    mb = 5.0 + c["batch"] * c["new_tokens"] * (0.01 if c["family"] == "autoregressive" else 0.05)
    peaks = {"weights_mb": 5.0, "peak_allocated_mb": mb, "peak_reserved_mb": mb * 2, "rss_mb": mb * 2}
    return {
        "schema": 1,
        "cell": c,
        "status": status,
        "reason": None if status == "ok" else f"{status} at batch {c['batch']}",
        "samples": taken,
        "reference": other,
        "warmup_ms": [typical_ms(c) * k for k in (3.0, 1.2, 1.0)] if status == "ok" else [],
        "compile_ms": None,
        "stop": {"reason": "precise", "half_width": 0.01, "target": 0.02, "budget_s": 2.0},
        "memory": {**peaks, "cache_mb": None, "logits_mb": None, "method": "test"}
        if status == "ok"
        else None,
        "work": {"flops_per_output": 1e9, "bytes_per_output": 1e8, "forwards": 8, "flops_agreement": 1.25}
        if status == "ok"
        else None,
        "device": {"before": {}, "after": {}},
        "launch": "fresh",
        "ready_s": 0.2,
        "prompt_length": {"min": 8, "mean": 10.5, "max": 14},
        "outputs": [{"prompt": "p0", "tokens": [5, 6, 7]}] if status == "ok" else [],
        "provenance": {
            "rule": "time_cell",
            "command": f"python scripts/time_cell.py --cell {c['id']}",
            "code_sha256": "c0de",
            "git": {"commit": "abc", "dirty": False},
            "start": "2026-01-01T00:00:00+00:00",
            "end": "2026-01-01T00:00:05+00:00",
        },
    }


def score(task: str, steps: int | None, prompts: int = PROMPTS) -> dict[str, Any]:
    """Exact match for a task, likelihood and variety for `text`; intervals by normal theory."""
    if task != "text":
        right = round(RIGHT[task][steps] * prompts)
        per = [1.0] * right + [0.0] * (prompts - right)
        reach = 1.96 * (right / prompts * (1 - right / prompts) / prompts) ** 0.5
        return {"metrics": {"exact": _metric(per, reach)}, "main": "exact", "prompts": _ids(prompts)}
    rng = np.random.default_rng(steps or 0)
    nll = (NATS[steps] + rng.normal(0, 0.2, prompts)).tolist()
    variety = np.clip((0.3 if steps == 8 else 0.8) + rng.normal(0, 0.02, prompts), 0, 1).tolist()
    metrics = {
        "scorer_nll": _metric(nll, 0.07),
        "distinct_2": _metric(variety, 0.01),
        "chrf": _metric([20.0] * prompts, 0.5),
    }
    return {"metrics": metrics, "main": "scorer_nll", "prompts": _ids(prompts)}


def _ids(count: int) -> list[str]:
    return [f"held{number}" for number in range(count)]


def _metric(per: list[float], reach: float) -> dict[str, Any]:
    value = float(np.mean(per))
    return {"value": value, "low": value - reach, "high": value + reach, "n": len(per), "per_prompt": per}


def study() -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
    """Return (records, scores by path): three tasks over steps, one over batch and length, A/A cells, one out of
    memory, one flagged sample."""
    records, scores = [], {}
    for task in ("grid", "sort", "text"):
        ar = cell("steps", task, None)
        for steps in (None, *STEPS):
            c = cell("steps", task, steps)
            records.append(record(c, None if steps is None else ar))
            scores[c["quality"]] = score(task, steps)
    records[1]["samples"][3]["flags"] = ["foreign_load"]
    records[1]["samples"][3]["e2e_ms"] *= 50
    for experiment, task, shapes in (
        ("batch", "grid", [(b, NEW) for b in (1, 4, 16)]),
        ("length", "text", [(b, n) for b in (1, 4) for n in (32, 64, 128)]),
    ):
        for batch, new in shapes:
            ar, mdm = (cell(experiment, task, steps, batch, new) for steps in (None, 4))
            failed = (experiment, batch, new) == ("length", 4, 128)
            records += [record(ar, None), record(mdm, ar, status="oom" if failed else "ok")]
    for steps in (None, 4):
        c = cell("noise", "grid", steps)
        records.append(record(c, c))
    return records, scores


def write_study(folder: Path) -> dict[str, list[str]]:
    """Write a whole synthetic run under `folder`/results; return paths by kind, relative to `folder`."""
    records, scores = study()
    paths: dict[str, list[str]] = {"records": [], "scores": sorted(scores), "likelihoods": []}
    for body in records:
        path = f"results/cells/{body['cell']['id']}/timing.json"
        write_json(folder / path, body, indent=None)  # indented, it takes ten times as long
        paths["records"].append(path)
    for path, body in scores.items():
        write_json(folder / path, body, indent=None)
    for model, kind, nats in (("ar-text", "exact", 2.0), ("mdm-text", "bound", 3.1)):
        path = f"results/quality/likelihood/{model}.json"
        write_json(
            folder / path,
            {"kind": kind, "nats_per_token": nats, "low": nats - 0.1, "high": nats + 0.1, "n": 32},
        )
        paths["likelihoods"].append(path)
    machine = {
        "cpu": "test",
        "cores": 2,
        "copy_gb_per_s": 10.0,
        "matmul_gflop_per_s": 100.0,
        "packages": {"torch": "2"},
    }
    write_json(folder / "results/machine.json", machine)
    floors = [
        {"workload": "grid", "arm": "mdm", "metric": "exact", "value": 0.9},
        {"workload": "sort", "arm": "mdm", "metric": "exact", "value": 0.6},
    ]
    write_json(
        folder / "results/floors.json", asked_of_tables({"floors": floors, "likelihood": {"gap": 1.3}})
    )
    paths |= {"machine": ["results/machine.json"], "floors": ["results/floors.json"]}
    return paths


def build_all(folder: Path) -> dict[str, Any]:
    """Write a run under `folder`, which must be the working directory; build and return every table."""
    from pardec.evidence.tables.inputs import gather, write_table
    from pardec.evidence.tables.registry import TABLES

    paths = write_study(folder) | {"tables": ["results/tables"]}
    frames = {}
    for name in TABLES:
        frames[name] = TABLES.load(name).make(gather(name, paths))
        write_table(frames[name], f"results/tables/{name}.csv", f"results/tables/{name}.parquet")
    return frames
