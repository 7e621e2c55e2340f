"""The parts of `make gpu-check`: decoders against the CPU, arms at 8B shape on each engine, small cells, vLLM."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median
from typing import Any

import torch

from benchmarks import fast_dllm
from benchmarks.gpu_run import LEAST_S, PROMPTS, SEED, Run, ending, forget_graphs, met
from pardec.decoding.batching import pad_left
from pardec.decoding.divergence import parting, plain_pass
from pardec.decoding.prepared import load_arm
from pardec.decoding.speculative.acceptance import Match
from pardec.decoding.speculative.base import Accepted
from pardec.measure.clock import clock_for
from pardec.measure.compiling import settle
from pardec.measure.machine import describe
from pardec.measure.sampling import Series, measure
from pardec.measure.stopping import Maximum
from pardec.models.registry import ENGINES

MBU, SAMPLER_SHARE, CLOCKS_APART = 0.75, 0.05, 0.01
"""Targets: share of the measured copy bandwidth, of a step's time in the sampler, and between the two clocks."""
NEAR_TIE = 16.0
"""Units in the last place of the best logit that a token may be behind it where 16-bit sums are added in another order:
some units for each of 32 layers, whose errors add up as random ones do."""
ACCEPTED = 6
"""Drafted tokens that a forced cycle accepts."""
PAIRS = 6
"""Pairs of generations from which a ratio is taken."""
SMALL: dict[str, dict[str, Any]] = {
    "autoregressive": {},
    "jacobi": {"window": 8},
    "speculative": {"drafter": {"name": "ngram"}, "block": 4},
    "transformers_generate": {},
}
"""Decoders of the small cells."""


def machine(run: Run) -> None:
    """Record the machine and the two rates to which everything else is compared."""
    run.record("machine", describe(run.device, 1, run.size.precision))


def same_as_on_the_cpu(run: Run) -> None:
    """Check every decoder in float32 on the device against the CPU, token by token, and the waits of a generation."""
    from tests.reference.decoders import CASES
    from tests.reference.decoders import run as case

    differing, waits = {}, {}
    names = list(CASES) if run.size.cases is None else run.size.cases
    for name in names:
        right = case(name, "cpu")[-1]().tokens.tolist()
        decode = case(name, run.device)[-1]
        decode()
        with run.waits() as count:
            decoded = decode()
        waits[name] = {"waits": count(), "passes": decoded.nfe}
        places = [parting(mine, its) for mine, its in zip(decoded.tokens.tolist(), right, strict=True)]
        if any(place is not None for place in places):
            differing[name] = places
    run.record("waits", waits)
    run.record("first differences from the CPU", differing)
    beside = f"; not {', '.join(differing)}" if differing else ""
    reached = f"{len(names) - len(differing)} of {len(names)}{beside}"
    run.check("decoders write the CPU's tokens in float32", reached, not differing)
    free = [waits[name] for name in ("ar", "diffusion", "cached") if name in waits]
    if free:
        most = max(one["waits"] / one["passes"] for one in free)
        run.check("fewer host waits than passes where none is needed", f"{most:.2f} a pass", most < 1)


def small_cells(run: Run) -> None:
    """Measure a dozen cells of a small model: each decoder at batch 1 and 4 eager, and at batch 1 compiled."""
    ended = {}
    for engine, batch in (("eager", 1), ("eager", 4), ("compiled", 1)):
        for decoder, settings in SMALL.items():
            if engine in run.size.engines:
                name, new = f"{decoder} b{batch} {engine}", min(32, run.size.new)
                ended[name] = run.cell(
                    name, "small-ar", decoder, settings, engine, batch=batch, new_tokens=new
                )
    judged = {name: facts for name, facts in ended.items() if met(facts) is not None}
    bad = [f"{name} {ending(facts)}" for name, facts in judged.items() if not met(facts)]
    beside = f"; {'; '.join(bad)[:300]}" if bad else ""
    skipped = f"; {len(ended) - len(judged)} skipped" if len(judged) < len(ended) else ""
    reached = f"{len(judged) - len(bad)} of {len(judged)}{skipped}{beside}"
    run.check("small cells end ok", reached, not bad if judged else None)


def large(run: Run, model: str, decoder: str, settings: dict, **changes: Any) -> dict[str, dict]:
    """Return the facts of the cells of one arm on each engine that ended ok, with their rates."""
    results = {}
    for engine in changes.pop("engines", run.size.engines):
        name, label = f"{model} {decoder} {engine}", f"{model}, {decoder}, {engine}"
        facts = run.cell(name, model, decoder, settings, engine, **changes)
        if not met(facts):
            run.check(f"{label} runs", ending(facts), met(facts))
            continue
        results[engine] = facts
        rates = facts["rates"] = rates_of(facts, run.records.get("machine"))
        run.record(name, facts)
        shown = ", ".join(f"{key} {value:.3g}" for key, value in rates.items() if value is not None)
        run.check(f"{label} runs", shown, True)
        apart = median(abs(s["host_ms"] / s["e2e_ms"] - 1) for s in facts["samples"])
        run.check(f"{label}: clocks at most 1 % apart", f"{apart:.2%}", apart <= CLOCKS_APART)
        if engine == "compiled":
            graphs = facts["graphs"]
            made = graphs["recorded"] if run.device.startswith("cuda") else graphs["compiled"]
            used = bool(made) and not graphs["skipped"]
            run.check(f"{label}: graphs recorded and none skipped", str(graphs), used)
        if (share := rates["sampler_share"]) is not None:
            run.check(f"{label}: sampler at most 5 %", f"{share:.1%}", share <= SAMPLER_SHARE)
    return results


def rates_of(facts: dict, machine: dict | None) -> dict[str, float | None]:
    """Return tokens per second, shares of the machine's bandwidth (mbu) and matmul rate (mfu), the sampler's share, and
    the memory's parts in megabytes."""
    ms = median(sample["e2e_ms"] for sample in facts["samples"])
    work, memory = facts["work"] or {}, facts["memory"]
    phased = [
        sample["phases_ms"]["sampler"] / sample["e2e_ms"]
        for sample in facts["samples"]
        if "sampler" in sample.get("phases_ms", {})
    ]

    def reached(key: str, rate: str) -> float | None:
        return work[key] / ms / 1e6 / machine[rate] if machine and work.get(key) else None

    return {
        "tokens_per_s": 1e3 * facts["samples"][0]["canvas"] / ms,
        "mbu": reached("bytes_per_output", "copy_gb_per_s"),
        "mfu": reached("flops_per_output", "matmul_gflop_per_s"),
        "sampler_share": median(phased) if phased else None,
        "weights_mb": memory["weights_mb"],
        "cache_mb": memory["cache_mb"],
        "logits_mb": memory["logits_mb"],
        "graph_pool_mb": memory.get("graph_pool_mb"),
        "peak_mb": memory["peak_allocated_mb"],
    }


def autoregressive(run: Run) -> None:
    results = large(run, "ar", "autoregressive", {})
    if (mbu := results.get("compiled", {}).get("rates", {}).get("mbu")) is not None:
        run.check("autoregressive, compiled, batch 1: bandwidth at least 75 %", f"{mbu:.1%}", mbu >= MBU)
    if set(results) == {"eager", "compiled"}:
        parity(run, results)


def parity(run: Run, results: dict[str, dict]) -> None:
    """Compare the engines' tokens in 16 bits: they may part only where both tokens are almost the best, by a plain
    pass."""
    model, _, encode = load_arm(run.models["ar"], "autoregressive", {}, run.device, run.size.precision)
    prompts = encode(PROMPTS, run.size.prompt, SEED)
    parted = []
    for mine, other in zip(results["eager"]["outputs"], results["compiled"]["outputs"], strict=True):
        at = parting(mine["tokens"], other["tokens"])
        if at is not None:
            prompt = torch.tensor([prompts[int(mine["prompt"])]], device=run.device)
            written = [torch.tensor(one["tokens"][: at + 1], device=run.device) for one in (mine, other)]
            passes = [plain_pass(model, prompt, tokens) for tokens in written]
            behind = max(one.behind_ulp for one in passes)
            parted.append(
                {"prompt": mine["prompt"], "at": at, "margin": passes[0].margins[at], "behind_ulp": behind}
            )
    run.record("parity", parted)
    worst = max((one["behind_ulp"] for one in parted), default=0.0)
    first = f", the first at token {min(one['at'] for one in parted)}" if parted else ""
    share = f"{len(parted)} of {len(results['eager']['outputs'])} outputs part{first}"
    reached = f"{share}; at most {worst:.3g} ulp behind the best"
    run.check("engines part only at near-ties in 16 bits", reached, worst <= NEAR_TIE)


def quantised(run: Run) -> None:
    """Weight-only int8 and int4 against 16 bits on the compiled engine: fewer bytes have to take less time."""
    wide = run.records.get("ar autoregressive compiled", {}).get("rates")
    for name in ("ar-int8", "ar-int4"):
        if name in run.models and "compiled" in run.size.engines:
            facts = large(run, name, "autoregressive", {}, engines=("compiled",)).get("compiled")
            if facts and wide:
                ratio = facts["rates"]["tokens_per_s"] / wide["tokens_per_s"]
                run.check(f"{name}: faster than 16-bit weights", f"{ratio:.2f} times", ratio > 1)


def diffusion(run: Run) -> None:
    block = min(32, run.size.new)
    settings = {"steps": run.size.new // 2, "block": block, "cache": "dual"}
    large(run, "diffusion", "cached_diffusion", settings)
    for engine in run.size.engines:
        forget_graphs()
        if run.left() < LEAST_S:
            run.check(f"dual cache, {engine}, ahead of Fast-dLLM's loop", "no time was left", None)
        else:
            beside_fast_dllm(run, settings, engine)


def beside_fast_dllm(run: Run, settings: dict, engine: str) -> None:
    """Time our cached sampler and Fast-dLLM's loop in turn on the same weights and prompts."""
    model, decoder, encode = load_arm(
        run.models["diffusion"], "cached_diffusion", settings, run.device, run.size.precision
    )
    prompts = encode(PROMPTS, run.size.prompt, SEED)
    own_model = model if engine == "eager" else ENGINES.load(engine)(model, run.device)
    clock, new = clock_for(run.device), run.size.new

    def batch(rows: Any) -> Any:
        return pad_left([prompts[row] for row in rows], None, model.info.pad_id, run.device)

    ours = Series(lambda rows, watch: decoder.decode(own_model, batch(rows), new, watch))
    theirs = Series(
        lambda rows, watch: fast_dllm.decode(
            model, batch(rows), new, settings["block"], settings["steps"], watch
        )
    )
    order = lambda number: [number % len(prompts)]  # noqa: E731 (one short name)
    if engine == "compiled":
        settle(clock, ours.run, order)
    measure(ours, theirs, clock, order, [Maximum(PAIRS)], warmup_passes=1, seed=SEED)
    ratios = [b["e2e_ms"] / a["e2e_ms"] for a, b in zip(ours.samples, theirs.samples, strict=True)]
    same = [ours.outputs[k].tolist() == theirs.outputs[k].tolist() for k in ours.outputs]
    low, high = bootstrap(ratios)
    facts = {"ratios": ratios, "low": low, "high": high, "same_tokens": sum(same), "outputs": len(same)}
    run.record(f"fast-dllm {engine}", facts)
    reached = f"{median(ratios):.2f} [{low:.2f}, {high:.2f}] times as fast, {sum(same)} of {len(same)} outputs equal"
    run.check(f"dual cache, {engine}, ahead of Fast-dLLM's loop", reached, low > 1)


def bootstrap(values: list[float]) -> tuple[float, float]:
    """Return the 95 % interval of the median by resampling."""
    draw = random.Random(SEED)
    medians = sorted(median(draw.choices(values, k=len(values))) for _ in range(2000))
    return medians[50], medians[-51]


@contextmanager
def forced(accepted: int) -> Iterator[None]:
    """Accept this many drafted tokens per cycle, whatever the target says: random weights agree on none."""
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
    run.check("vLLM", ending(facts), True if met(facts) else None)
