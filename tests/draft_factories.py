"""Synthetic records of experiment `draft`, with effects that are known because they are put in."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from pardec.common.files import write_json
from pardec.evidence.ideas import BEST_FIXED, load_ideas

FILE = load_ideas()
IDEAS, BASELINE, REFERENCE, SAMPLED = FILE.ideas, FILE.baseline, FILE.reference, FILE.sampled
WORKLOADS = ("grid", "arithmetic", "sort", "text")
PROMPTS = 8
NEW = 24
TAU = {"grid": 6, "arithmetic": 6, "sort": 4, "text": 2}
STEP_MS = 0.3


@dataclass(frozen=True)
class Arm:
    """speed: over the baseline's. tau: tokens a cycle more than the baseline's. wrong: share of prompts with a wrong
    token. undrafted: share of cycles that propose nothing. peeks: commits more than it proposes. spread: of the
    logarithm of a prompt's own effect. temperature: above zero its outputs are drawn. behind: in bfloat16, units in the
    last place by which its worst token lies behind the best; None is float32."""

    name: str
    speed: float = 1.0
    tau: int = 0
    block: int = 8
    wrong: float = 0.0
    undrafted: float = 0.0
    peeks: bool = False
    spread: float = 0.01
    temperature: float = 0.0
    decoder: str = "speculative"
    behind: float | None = None
    slow_on: str | None = None


AR = Arm(REFERENCE, decoder="autoregressive")
BASE = Arm(BASELINE)


def cell(arm: Arm, task: str, against: str | None, run: int, tuning: bool = False) -> dict[str, Any]:
    words = [
        f"batch~1{f'+against~{against}' if against else ''}+run~{run}",
        *(["prompts~tuning"] if tuning else []),
    ]
    settings: dict[str, Any] = {"temperature": arm.temperature}
    if arm.decoder == "speculative":
        settings["block"] = arm.block
    return {
        "id": f"draft/{task}/ar-{task}/{arm.name}/new~{NEW}+{'+'.join(words)}",
        "experiment": "draft",
        "task": task,
        "data": task,
        "model": f"ar-{task}",
        "family": arm.decoder,
        "arm": arm.name,
        "decoder": arm.decoder,
        "settings": settings,
        "companions": {"draft": f"draft-{task}"} if arm.decoder == "speculative" else {},
        "engine": "eager",
        "precision": "float32" if arm.behind is None else "bfloat16",
        "device": "cpu",
        "threads": 1,
        "batch": 1,
        "prompt_tokens": None,
        "new_tokens": NEW,
        "run": run,
        "tuning": tuning,
        "quality": None,
        "role": "cell",
    }


def tokens(task: str, prompt: str) -> list[int]:
    """What the target writes greedily."""
    return np.random.default_rng([*task.encode(), *prompt.encode()]).integers(4, 60, NEW).tolist()


def written(arm: Arm, task: str, number: int, prompt: str) -> list[int]:
    right = tokens(task, prompt)
    if number < round(arm.wrong * PROMPTS):
        right[-1] += 1
    return right


def prompt_names(tuning: bool = False) -> list[str]:
    return [f"{'t' if tuning else 'p'}{number}" for number in range(PROMPTS)]


def effect(arm: Arm, task: str, prompt: str) -> float:
    """A prompt's own factor: it stays the same from run to run."""
    rng = np.random.default_rng([*arm.name.encode(), *task.encode(), *prompt.encode()])
    speed = 0.8 if arm.slow_on == task else arm.speed
    return speed * float(rng.lognormal(sigma=arm.spread))


def sample(
    arm: Arm, task: str, prompt: str, block: int, order: int, rng: np.random.Generator, noise: float
) -> dict[str, Any]:
    first = 1.0
    if arm.decoder == "autoregressive":
        stamps = [first + STEP_MS * k for k in range(NEW)]
        committed = [1.0] * NEW
        result: dict[str, Any] = {}
    else:
        stamps, committed, result = drafted(arm, task, prompt, first)
    scale = float(rng.lognormal(sigma=noise))
    e2e = stamps[-1] * scale
    return {
        "block": block,
        "order": order,
        "prompts": [prompt],
        "e2e_ms": e2e,
        "host_ms": e2e,
        "cpu_ms": e2e * 0.99,
        "prefill_ms": first,
        "first_ms": first,
        "first_tokens": 1.0,
        "block_ms": stamps,
        "commit_ms": stamps,
        "committed": committed,
        "useful": NEW,
        "canvas": NEW,
        "nfe": len(stamps),
        "token_forwards": NEW,
        "flags": [],
        **result,
    }


def drafted(
    arm: Arm, task: str, prompt: str, first: float
) -> tuple[list[float], list[float], dict[str, Any]]:
    """Return (stamps, tokens committed, cycles) of a speculative generation that takes 4 ms over `speed`."""
    tau = TAU[task] + arm.tau
    taus = []
    while sum(taus) < NEW - 1:
        taus.append(min(tau, NEW - 1 - sum(taus)))
    whole = 4.0 / effect(arm, task, prompt) / len(taus)
    stamps, cycles = [first], []
    for place, count in enumerate(taus):
        nothing = place < arm.undrafted * len(taus)
        stamps.append(stamps[-1] + whole)
        block = 1 if nothing else arm.block
        cycles.append(
            {
                "at_ms": stamps[-1],
                "tau": 1 if nothing else block + 3 if arm.peeks else count,
                "block": block,
                "accepted": count - 1,
                "drafted": block - 1,
                "nodes": block,
                **({"asked": (8, 4, 4)[place % 3]} if arm.name == "ewma" else {}),
                "phases_ms": {"draft": 0.3 * whole, "verify": 0.6 * whole, "commit": 0.05 * whole},
            }
        )
    return stamps, [1.0, *map(float, taus)], {"cycles": cycles, "phases_ms": {"draft": 1.0, "verify": 2.0}}


def record(
    arm: Arm,
    task: str,
    other: Arm | None,
    run: int = 1,
    tuning: bool = False,
    noise: float = 0.01,
    visits: int = 2,
) -> dict[str, Any]:
    """A record of `arm` paired with `other` on one workload."""
    c = cell(arm, task, other.name if other else None, run, tuning)
    rng = np.random.default_rng([run, *c["id"].encode()])
    names = prompt_names(tuning)
    places = [(block, names[block % PROMPTS]) for block in range(visits * PROMPTS)]

    def series(one: Arm, order: int) -> list[dict[str, Any]]:
        return [sample(one, task, prompt, block, order, rng, noise) for block, prompt in places]

    def outputs(one: Arm) -> list[dict[str, Any]]:
        given = [{"prompt": p, "tokens": written(one, task, k, p)} for k, p in enumerate(names)]
        ties = (
            {} if one.behind is None else {"margins": [2.0] * (NEW - 1) + [0.125], "behind_ulp": one.behind}
        )
        unsure = {p: {"entropy": k / 10} for k, p in enumerate(names)} if one.decoder == "speculative" else {}
        return [output | ties | unsure.get(output["prompt"], {}) for output in given]

    mine = series(arm, 0)
    reference = None
    if other is not None:
        given = cell(other, task, None, run) | {"role": "reference"}
        given = {key: value for key, value in given.items() if key not in ("id", "run", "tuning")}
        reference = {"cell": given, "samples": series(other, 1), "warmup_ms": [], "outputs": outputs(other)}
    return {
        "schema": 1,
        "cell": c,
        "status": "ok",
        "reason": None,
        "samples": mine,
        "reference": reference,
        "warmup_ms": [1.0],
        "compile_ms": None,
        "stop": {"reason": "maximum", "half_width": 0.01, "target": 0.02, "budget_s": 1.0},
        "memory": {
            "weights_mb": 5.0,
            "peak_allocated_mb": 6.0,
            "peak_reserved_mb": 7.0,
            "rss_mb": 7.0,
            "method": "test",
        },
        "work": {"flops_per_output": 1e9, "bytes_per_output": 1e8, "forwards": 8},
        "device": {"name": "cpu", "before": {}, "after": {}},
        "launch": "fresh",
        "ready_s": 0.2,
        "prompt_length": {"min": 8, "mean": 10.5, "max": 14},
        "outputs": outputs(arm),
        "provenance": {
            "rule": "time_cell",
            "command": f"python scripts/time_cell.py --cell {c['id']}",
            "code_sha256": "c0de",
            "git": {"commit": "abc", "dirty": False},
            "start": "2026-01-01T00:00:00+00:00",
            "end": "2026-01-01T00:00:05+00:00",
        },
    }


def idea_records(
    arm: Arm,
    control: Arm | None,
    against: Iterable[Arm] = (BASE,),
    runs: tuple[int, ...] = (1, 2),
    workloads: tuple[str, ...] = WORKLOADS,
    noise: float = 0.01,
    visits: int = 2,
) -> list[dict[str, Any]]:
    """All cells that one setting of an idea needs."""
    result = []
    for task in workloads:
        result += [
            record(arm, task, other, run, noise=noise, visits=visits) for other in against for run in runs
        ]
        if arm.temperature == 0:
            result.append(record(arm, task, AR, noise=noise))
        if control is not None:
            result.append(record(control, task, Arm(SAMPLED, temperature=1.0) if arm.temperature else BASE))
    return result


def frame_of_reference(noise: float = 0.01) -> list[dict[str, Any]]:
    """The sequential arm, the baseline against it and against itself, and the fixed blocks on tuning prompts."""
    result = []
    for task in WORKLOADS:
        result.append(record(AR, task, None))
        for run in (1, 2):
            result += [record(BASE, task, AR, run, noise=noise), record(BASE, task, BASE, run, noise=noise)]
        for arm in (Arm("draft-4", 0.9, block=4), Arm("draft-16", 1.1 if task == "grid" else 0.95, block=16)):
            result += [record(arm, task, BASE, tuning=True, noise=noise), record(arm, task, AR, noise=noise)]
    return result


def least_frame(noise: float = 0.01) -> list[dict[str, Any]]:
    """Only what any verdict needs: the sequential arm, and the baseline against it and against itself."""
    result = []
    for task in WORKLOADS:
        result += [record(AR, task, None, visits=1), record(BASE, task, AR, noise=noise, visits=1)]
        result += [record(BASE, task, BASE, run, noise=noise, visits=1) for run in (1, 2)]
    return result


EFFECTS = {
    "ewma": Arm("ewma", 0.97, spread=0.05), "multi-round": Arm("multi-round", 1.15, 1, temperature=1.0),
    "seed-gated": Arm("seed-gated", 1.0), "seed-sparse": Arm("seed-sparse", 0.8, -1),
    "seed-dense": Arm("seed-dense", 0.6, -1), "refine-selective": Arm("refine-selective", 0.9),
    "refine-full": Arm("refine-full", 0.5, -1), "tree": Arm("tree", 1.2, 1, spread=0.1),
    "tree-candidates": Arm("tree-candidates", 1.04, 1, spread=0.2), "tree-wide": Arm("tree-wide", 0.7, 1),
    "tree-lite": Arm("tree-lite", 1.08, spread=0.2), "candidates": Arm("candidates", 0.95, 1),
    "confidence": Arm("confidence", 1.1, wrong=0.25), "eos-aware": Arm("eos-aware", 1.0, undrafted=0.9),
}  # fmt: skip
"""Settings of a synthetic run, with the effects put in; every other setting was not run."""


def experiment() -> list[dict[str, Any]]:
    """A whole run: every setting of `EFFECTS` with its control."""
    result = frame_of_reference()
    controls: set[str] = set()
    for idea in IDEAS:
        for setting in idea.settings:
            arm = EFFECTS.get(setting.arm)
            if arm is None:
                continue
            control = None
            if setting.control and setting.control not in controls:
                control = replace(BASE, name=setting.control, temperature=arm.temperature)
                controls.add(setting.control)
            base = Arm(FILE.against(setting), temperature=arm.temperature)
            others = [BASE, Arm("draft-16", 1.1, block=16)] if FILE.against(setting) == BEST_FIXED else [base]
            result += idea_records(arm, control, others)
    ids = [body["cell"]["id"] for body in result]
    assert len(ids) == len(set(ids))
    return result


def verify_cost(model: str, apart: float = 0.02, processes: int = 5) -> dict[str, Any]:
    """Return passes timed in several processes. apart: of the logarithm of a width's time from process to process."""
    rng = np.random.default_rng(1)
    widths = []
    for nodes in (1, 8, 16, 32, 48, 64):
        each = [
            (0.2 + 0.006 * nodes) * rng.lognormal(sigma=apart) * rng.lognormal(sigma=0.02, size=40)
            for _ in range(processes)
        ]
        of = [number for number in range(processes) for _ in range(40)]
        widths.append({"nodes": nodes, "samples_ms": np.concatenate(each).tolist(), "process": of})
    return {
        "model": model,
        "device": "cpu",
        "context_tokens": 64,
        "widths": widths,
        "provenance": {"rule": "measure_verify_cost", "command": "python scripts/measure_verify_cost.py"},
    }


def frames(records: Iterable[dict[str, Any]], names: tuple[str, ...] = ()) -> dict[str, Any]:
    """The drafting tables of `records`, or some of them in the order of need, made in memory."""
    from pardec.evidence.tables.inputs import Source

    def source(path: str, body: Any) -> Source:
        return Source(path, hashlib.sha256(path.encode()).hexdigest(), body)

    result = tuple(source(f"results/cells/{body['cell']['id']}/timing.json", body) for body in records)
    costs = tuple(source(f"results/verify_cost/ar-{t}.json", verify_cost(f"ar-{t}")) for t in WORKLOADS[:2])
    return _tables(result, costs, names or TABLES)


@functools.cache
def page_tables() -> dict[str, Any]:
    """A small run for the report: an idea of every outcome, one that fell back, and a setting with wrong tokens."""
    result = frame_of_reference()
    effects = EFFECTS | {"seed-sparse": replace(EFFECTS["seed-sparse"], wrong=0.25)}
    for name in ("ewma", "tree", "seed-gated", "seed-sparse", "tree-lite", "eos-aware"):
        control = next(s.control for idea in IDEAS for s in idea.settings if s.arm == name)
        controlled = name != "seed-sparse"
        result += idea_records(effects[name], replace(BASE, name=control) if controlled else None, visits=1)
    return frames(result)


def write(folder: Path, records: Iterable[dict[str, Any]]) -> dict[str, list[str]]:
    """Write records under `folder`; return paths by kind, relative to it."""
    paths: dict[str, list[str]] = {"records": [], "verify_costs": [], "scores": [], "likelihoods": []}
    for body in records:
        path = f"results/cells/{body['cell']['id']}/timing.json"
        write_json(folder / path, body, indent=None)  # indented, it takes ten times as long
        paths["records"].append(path)
    for task in WORKLOADS[:2]:
        path = f"results/verify_cost/ar-{task}.json"
        write_json(folder / path, verify_cost(f"ar-{task}"), indent=None)
        paths["verify_costs"].append(path)
    return paths


TABLES = ("draft_prompts", "draft", "cycles", "acceptance", "cycle_trace", "verify_cost", "ideas")


def build(folder: Path, records: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """The drafting tables of `records`, each read from disk once; `folder` must be the working directory."""
    from pardec.evidence.tables.inputs import read_records, read_source, write_table

    paths = write(folder, records)
    made = _tables(read_records(paths["records"]), tuple(map(read_source, sorted(paths["verify_costs"]))))
    for name, frame in made.items():
        write_table(frame, f"results/tables/{name}.csv", f"results/tables/{name}.parquet")
    return made


def _tables(records: tuple, costs: tuple, names: tuple[str, ...] = TABLES) -> dict[str, Any]:
    from pardec.evidence.tables.inputs import Inputs
    from pardec.evidence.tables.registry import TABLES as KNOWN

    made: dict[str, Any] = {}
    for name in names:
        made[name] = KNOWN.load(name).make(Inputs(records=records, verify_costs=costs, tables=dict(made)))
    return made
