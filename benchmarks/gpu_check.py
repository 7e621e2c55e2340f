"""Everything that only a GPU can prove, in eight minutes, with nothing downloaded: `make gpu-check`.

Decoders against the CPU in float32; small cells; autoregressive, diffusion and drafting at 8B shape with random
weights, eager and compiled; a page with a table of targets and an archive of the records. A part that fails or finds no
time says so on the page and stops no other.
"""

from __future__ import annotations

import argparse
import tarfile
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import torch

from benchmarks.gpu_page import Check, page
from pardec.common.files import write_json, write_text
from pardec.decoding.divergence import parting
from pardec.decoding.prepared import load_arm
from pardec.decoding.speculative.acceptance import Match
from pardec.decoding.speculative.base import Accepted
from pardec.measure.cell import ArmSpec, Spec, run_cell
from pardec.measure.machine import describe
from pardec.measure.settings import MeasureSettings
from pardec.models.sources.random import RandomSettings, fetch

BUDGET_S = 480.0
MBU, SAMPLER_SHARE, CLOCKS_APART = 0.75, 0.05, 0.01
"""Targets: share of the measured copy bandwidth, of a step's time in the sampler, and between the two clocks."""
NEAR_TIE = 0.5
"""Nats between best and second logit up to which two orders of 16-bit additions may choose differently."""
ACCEPTED = 6
"""Drafted tokens that a forced cycle accepts."""


@dataclass
class Size:
    """What runs: the study's size on a card, or a small one that tests the script itself."""

    shapes: dict[str, dict[str, Any]]
    prompt: int
    new: int
    precision: str
    cases: tuple[str, ...] | None = None
    """Decoders compared with the CPU; None means all."""
    engines: tuple[str, ...] = ("eager", "compiled")
    limits: dict[str, Any] = field(default_factory=dict)


FULL = Size(
    {
        "ar": {"shape": "llama-3-8b", "max_positions": 1024},
        "diffusion": {"shape": "llada-8b", "max_positions": 1024},
        "target": {"shape": "qwen3-8b", "max_positions": 1024},
        "draft": {"shape": "qwen3-8b-dflash", "max_positions": 1024},
        "small-ar": {"shape": "qwen2.5-0.5b", "layers": 4, "max_positions": 1024},
    },
    prompt=128,
    new=128,
    precision="bfloat16",
    limits={
        "warmup_passes": 1,
        "min_samples": 6,
        "max_samples": 6,
        "budget_s": 10,
        "energy_s": 0,
        "timeout_s": 150,
    },
)


class Run:
    """One run of the checks: their lines, and every record."""

    def __init__(self, device: str, size: Size, models: dict[str, Path], waits: Callable[[], Any]):
        self.device, self.size, self.models, self.waits = device, size, models, waits
        self.began = time.monotonic()
        self.checks: list[Check] = []
        self.records: dict[str, Any] = {}

    def left(self) -> float:
        return BUDGET_S - (time.monotonic() - self.began)

    def part(self, name: str, work: Callable[[], None]) -> None:
        """Run one part; what it raises becomes a line."""
        if self.left() < 20:
            self.checks.append(Check(name, "no time was left", None))
            return
        try:
            work()
        except Exception as error:
            traceback.print_exc()
            self.checks.append(Check(name, f"{type(error).__name__}: {error}"[:300], False))
        self.records[f"seconds {name}"] = round(BUDGET_S - self.left(), 1)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def cell(
        self, name: str, model: str, decoder: str, settings: dict, engine: str = "eager", **changes: Any
    ) -> dict:
        """Measure one cell, keep its record, and return it."""
        size = self.size
        companions = {role: self.models[other] for role, other in changes.pop("companions", {}).items()}
        prompts = [{"id": str(k), "task": "check", "prompt": "a ", "answer": "a"} for k in range(8)]
        spec = Spec(
            ArmSpec(self.models[model], decoder, settings, companions), None, prompts,
            **{"batch": 1, "prompt_tokens": size.prompt, "new_tokens": size.new, "device": self.device,
               "precision": size.precision, "threads": 1, "seed": 7, "random_prompts": True, "engine": engine,
               **changes},
        )  # fmt: skip
        facts = run_cell(spec, MeasureSettings(**size.limits), time.time())
        facts.pop("traceback", None)
        self.records[name] = facts
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        return facts


def same_as_on_the_cpu(run: Run) -> None:
    """Every decoder in float32 on the device against the CPU, token by token, and the waits of a generation."""
    from tests.unit.test_pretended_cuda import CASES
    from tests.unit.test_pretended_cuda import run as case

    differing, waits = [], {}
    names = list(CASES) if run.size.cases is None else run.size.cases
    for name in names:
        right = case(name, "cpu")[-1]().tokens.tolist()
        decode = case(name, run.device)[-1]
        decode()
        with run.waits() as count:
            decoded = decode()
        waits[name] = {"waits": count(), "passes": decoded.nfe}
        if decoded.tokens.tolist() != right:
            differing.append(name)
    run.records["waits"] = waits
    reached = f"{len(names) - len(differing)} of {len(names)}" + (
        f"; not {', '.join(differing)}" if differing else ""
    )
    run.checks.append(Check("decoders write the CPU's tokens in float32", reached, not differing))
    free = [name for name in ("ar", "diffusion", "cached") if name in waits]
    most = max((waits[name]["waits"] / waits[name]["passes"] for name in free), default=None)
    if most is not None:
        run.checks.append(
            Check("fewer host waits than passes where none is needed", f"{most:.2f} a pass", most < 1)
        )


SMALL = {
    "autoregressive": ({}, "small-ar"),
    "jacobi": ({"window": 8}, "small-ar"),
    "speculative": ({"drafter": {"name": "ngram"}, "block": 4}, "small-ar"),
    "transformers_generate": ({}, "small-ar"),
}


def small_cells(run: Run) -> None:
    """A dozen cells of small models: each decoder at batch 1 and 4 eager, and at batch 1 compiled."""
    ended: dict[str, str] = {}
    for engine, batch in (("eager", 1), ("eager", 4), ("compiled", 1)):
        for decoder, (settings, model) in SMALL.items():
            if engine not in run.size.engines or run.left() < 60:
                continue
            name = f"{decoder} b{batch} {engine}"
            facts = run.cell(
                name, model, decoder, settings, engine, batch=batch, new_tokens=min(32, run.size.new)
            )
            ended[name] = (
                facts["status"] if facts["status"] == "ok" else f"{facts['status']}: {facts['reason']}"
            )
    bad = [f"{name} {status}" for name, status in ended.items() if status != "ok"]
    reached = f"{len(ended) - len(bad)} of {len(ended)}" + (f"; {'; '.join(bad)[:300]}" if bad else "")
    run.checks.append(Check("small cells end ok", reached, not bad))


def large(run: Run, model: str, decoder: str, settings: dict, **changes: Any) -> dict[str, dict]:
    """One arm on each engine, with its rates against those of the machine."""
    results = {}
    for engine in run.size.engines:
        if run.left() < 60:
            run.checks.append(Check(f"{model} {engine}", "no time was left", None))
            continue
        facts = results[engine] = run.cell(
            f"{model} {decoder} {engine}", model, decoder, settings, engine, **changes
        )
        label = f"{model}, {decoder}, {engine}"
        if facts["status"] != "ok":
            run.checks.append(Check(f"{label} runs", ending(facts), False))
            continue
        rates = facts["rates"] = rates_of(facts, run.records.get("machine"))
        shown = ", ".join(f"{key} {value:.3g}" for key, value in rates.items() if value is not None)
        run.checks.append(Check(f"{label} runs", shown, True))
        host = median(abs(s["host_ms"] / s["e2e_ms"] - 1) for s in facts["samples"])
        run.checks.append(Check(f"{label}: clocks at most 1 % apart", f"{host:.2%}", host <= CLOCKS_APART))
        if engine == "compiled":
            graphs = facts["graphs"]
            used = bool(graphs["compiled"]) and not graphs["skipped"]
            run.checks.append(Check(f"{label}: graphs recorded and none skipped", str(graphs), used))
        if rates["sampler_share"] is not None:
            share = rates["sampler_share"]
            run.checks.append(Check(f"{label}: sampler at most 5 %", f"{share:.1%}", share <= SAMPLER_SHARE))
    return results


def rates_of(facts: dict, machine: dict | None) -> dict[str, float | None]:
    """Return tokens a second, shares of the machine's bandwidth (mbu) and matmul rate (mfu), the sampler's share, and
    the memory's parts in megabytes."""
    ms = median(sample["e2e_ms"] for sample in facts["samples"])
    work, memory = facts["work"] or {}, facts["memory"]
    phased = [
        s["phases_ms"]["sampler"] / s["e2e_ms"]
        for s in facts["samples"]
        if "sampler" in s.get("phases_ms", {})
    ]
    reached = lambda key, rate: (  # noqa: E731 (two uses)
        work[key] / ms / 1e6 / machine[rate] if machine and work.get(key) else None
    )
    return {
        "tokens_per_s": 1e3 * facts["samples"][0]["canvas"] / ms,
        "mbu": reached("bytes_per_output", "copy_gb_per_s"),
        "mfu": reached("flops_per_output", "matmul_gflop_per_s"),
        "sampler_share": median(phased) if phased else None,
        "weights_mb": memory["weights_mb"],
        "cache_mb": memory["cache_mb"],
        "logits_mb": memory["logits_mb"],
        "peak_mb": memory["peak_allocated_mb"],
    }


def autoregressive(run: Run) -> None:
    results = large(run, "ar", "autoregressive", {})
    fast = results.get("compiled", {}).get("rates", {})
    if (mbu := fast.get("mbu")) is not None:
        target = "autoregressive, compiled, batch 1: bandwidth at least 75 %"
        run.checks.append(Check(target, f"{mbu:.1%}", mbu >= MBU))
    done = {engine: facts for engine, facts in results.items() if facts["status"] == "ok"}
    if set(done) == {"eager", "compiled"}:
        run.checks.append(parity(run, done))


def parity(run: Run, results: dict[str, dict]) -> Check:
    """Compare the engines' tokens in 16 bits: they may part only where two tokens are almost equal."""
    from pardec.decoding.divergence import divergence

    model, _, encode = load_arm(run.models["ar"], "autoregressive", {}, run.device, run.size.precision)
    prompts = encode([{"id": str(k), "prompt": "a "} for k in range(8)], run.size.prompt, 7)
    worst, parted = 0.0, []
    for mine, other in zip(results["eager"]["outputs"], results["compiled"]["outputs"], strict=False):
        at = parting(mine["tokens"], other["tokens"])
        if at is None or mine["prompt"] != other["prompt"]:
            continue
        found = divergence(model, prompts[int(mine["prompt"])], mine["tokens"], other["tokens"])
        parted.append({"prompt": mine["prompt"], "at": at, "margin": found.margin})
        worst = max(worst, found.margin)
    run.records["parity"] = parted
    reached = f"{len(parted)} outputs part, at a margin of at most {worst:.3g} nats"
    return Check("engines part only at near-ties in 16 bits", reached, worst <= NEAR_TIE)


def diffusion(run: Run) -> None:
    settings = {"steps": run.size.new // 2, "block": min(32, run.size.new), "cache": "dual"}
    large(run, "diffusion", "cached_diffusion", settings)


@contextmanager
def forced(accepted: int) -> Iterator[None]:
    """Accept this many drafted tokens a cycle, whatever the target says: random weights agree on none."""
    decide = Match.decide

    def always(self: Match, tree: Any, logits: Any, context: Any) -> Accepted:
        right = decide(self, tree, logits, context)
        count = min(accepted, tree.tokens.shape[1])
        tokens = right.tokens.clone()
        tokens[:, :count] = tree.tokens[:, :count]
        return Accepted(torch.full_like(right.counts, count), None, tokens)

    Match.decide = always
    try:
        yield
    finally:
        Match.decide = decide


def drafting(run: Run) -> None:
    with forced(ACCEPTED):
        large(run, "target", "speculative", {"drafter": {"name": "dflash"}}, companions={"draft": "draft"})


def vllm(run: Run) -> None:
    facts = run.cell("vllm", "ar", "vllm", {})
    run.checks.append(Check("vLLM", ending(facts), True if facts["status"] == "ok" else None))


def ending(facts: dict) -> str:
    """Return a cell's status, with its reason where it is not ok."""
    return facts["status"] if facts["status"] == "ok" else f"{facts['status']}: {facts['reason']}"[:300]


PARTS: dict[str, Callable[[Run], None]] = {
    "decoders": same_as_on_the_cpu,
    "autoregressive": autoregressive,
    "diffusion": diffusion,
    "drafting": drafting,
    "cells": small_cells,
    "vllm": vllm,
}


@contextmanager
def warned_waits() -> Iterator[Callable[[], int]]:
    """Count what makes the host wait for the device, as torch's own debug mode reports it."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield lambda: sum("synchroniz" in str(one.message) for one in caught)
        finally:
            torch.cuda.set_sync_debug_mode(before)


def check(run: Run, out: Path) -> list[Check]:
    """Run all parts, and write page, facts and archive into `out`."""

    def machine() -> None:
        run.records["machine"] = describe(run.device, 1, run.size.precision)

    run.part("machine", machine)
    for name, work in PARTS.items():
        run.part(name, lambda work=work: work(run))
    seconds = BUDGET_S - run.left()
    run.checks.append(Check("all within eight minutes", f"{seconds:.0f} s", seconds <= BUDGET_S))
    out.mkdir(parents=True, exist_ok=True)
    write_json(out / "check.json", {"checks": [asdict(one) for one in run.checks], "records": run.records})
    write_text(out / "index.html", page(run.checks, run.records))
    with tarfile.open(out / "records.tar.gz", "w:gz") as tar:
        for name in ("check.json", "index.html"):
            tar.add(out / name, arcname=name)
    return run.checks


def random_models(size: Size, folder: Path) -> dict[str, Path]:
    """Write the folders of the models, whose weights are drawn on the device when they are loaded."""
    made = {}
    for name, settings in size.shapes.items():
        made[name] = folder / name
        fetch(RandomSettings(source="random", **settings), made[name], 7)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="folder (default: results/published/gpu-CARD)")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("gpu-check: torch sees no CUDA device here; run it on a machine with one")
    card = torch.cuda.get_device_name().lower().replace("nvidia", "").strip().replace(" ", "-")
    out = Path(args.out or f"results/published/gpu-{card}")
    run = Run("cuda", FULL, random_models(FULL, out / "models"), warned_waits)
    for one in check(run, out):
        print(
            {True: "reached", False: "NOT REACHED", None: "not measured"}[one.met],
            one.target,
            one.reached,
            sep=" | ",
        )


if __name__ == "__main__":
    main()
