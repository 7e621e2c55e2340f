"""One row from one record: medians, percentiles, paired ratios."""

from __future__ import annotations

import json
import math
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.tables.inputs import Source
from pardec.evidence.tables.pairs import (
    Pairs,
    Sample,
    clean,
    committed_per_row,
    first_block_ms,
    flags,
    gaps_ms,
    pair,
    tpot_ms,
)

np = lazy("numpy")
statistics = lazy("pardec.evidence.statistics")


def what(record: Source) -> dict[str, Any]:
    """What was measured: the cell's own words."""
    body, cell = record.body, record.body["cell"]
    plain = (
        "data", "model", "family", "arm", "decoder", "engine", "precision", "device", "threads", "batch",
        "prompt_tokens", "new_tokens"
    )  # fmt: skip
    return {
        "cell": cell["id"],
        "experiment": cell["experiment"],
        "task": task_of(cell),
        **{name: cell.get(name) for name in plain},
        "verified": True if body.get("verified") else None,
        "random_prompts": bool(cell.get("random_prompts")),
        "steps": cell["settings"].get("steps"),
        "block": cell["settings"].get("block"),
        "prompt_mean_tokens": (body.get("prompt_length") or {}).get("mean"),
        "settings": json.dumps(cell["settings"], sort_keys=True),
        "role": "cell" if body.get("reference") else "reference",
        "status": body["status"],
        "reason": body.get("reason"),
    }


def task_of(cell: dict[str, Any]) -> str:
    return cell.get("task") or cell["workload"]


def times(record: Source) -> dict[str, Any]:
    """Medians with intervals, percentiles and means of the clean samples."""
    taken = record.body["samples"]
    samples = clean(taken)
    row: dict[str, Any] = {"n": len(samples), "n_all": len(taken), "flags": flags(taken)}
    if not samples:
        return row
    batch = record.body["cell"]["batch"]
    e2e = _field(samples, "e2e_ms")
    seconds = np.array(e2e) / 1000
    gaps = [gap for sample in samples for gap in gaps_ms(sample)]
    return {
        **row,
        **with_interval("latency_ms", statistics.median(e2e), "latency"),
        **with_interval("ttft_ms", statistics.median(_field(samples, "first_ms")), "ttft"),
        **with_interval("tpot_ms", statistics.median([tpot_ms(s) for s in samples]), "tpot"),
        **with_interval("tokens_per_s", statistics.median(np.array(_field(samples, "useful")) / seconds)),
        **with_interval(
            "canvas_tokens_per_s", statistics.median(np.array(_field(samples, "canvas")) / seconds)
        ),
        "ttft_block_ms": _middle([first_block_ms(s) for s in samples]),
        **{f"itl_p{q}_ms": statistics.percentile(gaps, q) for q in (50, 95, 99)},
        **{f"latency_p{q}_ms": statistics.percentile(e2e, q) for q in (95, 99)},
        **{name: _middle(_field(samples, name)) for name in ("prefill_ms", "host_ms", "cpu_ms")},
        "useful_tokens": _mean(_field(samples, "useful")) / batch,
        "nfe": _mean(_field(samples, "nfe")),
        "tokens_per_forward": _mean([committed_per_row(s) / s["nfe"] for s in samples if s["nfe"]]),
        "token_forwards": _mean(_field(samples, "token_forwards")),
    }


def paired(record: Source, reference_id: str | None) -> dict[str, Any]:
    """Ratios against the reference arm, from pairs of one process; nothing where there is no reference."""
    reference = record.body.get("reference")
    if not reference:
        return {}
    cell = reference["cell"]
    row = {
        "reference": reference_id,
        "reference_model": cell.get("model"),
        "reference_decoder": cell.get("decoder"),
        "reference_family": cell.get("family"),
        "n_pairs": 0,
    }
    pairs = pair(record.body["samples"], reference["samples"])
    return {**row, **_ratios(pairs)} if len(pairs) else row


def _ratios(pairs: Pairs) -> dict[str, Any]:
    own, other = (np.array(_field(side, "e2e_ms")) for side in (pairs.cell, pairs.reference))
    own_useful, other_useful = (np.array(_field(side, "useful")) for side in (pairs.cell, pairs.reference))
    keys = pairs.prompts, pairs.blocks
    geometric = statistics.geometric_mean_ratio(other, own, keys[0])
    throughput = None
    if np.all(own_useful > 0) and np.all(other_useful > 0):
        throughput = statistics.ratio_of_medians(own_useful / own, other_useful / other, *keys)
    return {
        "n_pairs": len(pairs),
        "n_prompts": geometric.n,
        "reference_latency_ms": float(np.median(other)),
        **with_interval("ratio", bounded(statistics.ratio_of_medians(other, own, *keys))),
        **with_interval("throughput_ratio", bounded(throughput)),
        **with_interval("ratio_geomean", bounded(geometric)),
        "ratio_spread": float(np.std(np.log(other / own), ddof=1)) if len(pairs) > 1 else None,
    }


def resources(record: Source, machine: Source | None, latency_ms: float | None) -> dict[str, Any]:
    """Memory, counted work, and the share of the machine's rates reached; nothing for a failed cell."""
    if record.body["status"] != "ok":
        return {}
    memory, work = record.body.get("memory") or {}, record.body.get("work") or {}
    names = ("peak_allocated_mb", "peak_reserved_mb", "rss_mb", "weights_mb", "cache_mb", "logits_mb")
    row = {name: memory.get(name) for name in names}
    if row["peak_allocated_mb"] is not None and row["weights_mb"] is not None:
        row["working_mb"] = row["peak_allocated_mb"] - row["weights_mb"]
    parts = [row[name] for name in ("weights_mb", "cache_mb", "logits_mb")]
    if row["peak_allocated_mb"] is not None and None not in parts:
        row["activations_mb"] = max(0.0, row["peak_allocated_mb"] - sum(parts))
    row["largest_batch"] = (record.body.get("largest_batch") or {}).get("fits")
    row |= phases(record.body["samples"])
    if work.get("flops_per_output") and latency_ms:
        row["achieved_gflop_per_s"] = work["flops_per_output"] / latency_ms / 1e6
        row["intensity"] = (
            work["flops_per_output"] / work["bytes_per_output"] if work["bytes_per_output"] else None
        )
    energy = record.body.get("energy") or {}
    row |= {name: energy.get(name) for name in ("joules_per_output", "net_joules_per_output")}
    row["energy_valid"] = energy.get("valid")
    counted = ("flops_per_output", "bytes_per_output", "forwards", "flops_agreement")
    row |= {name: work.get(name) for name in counted}
    if machine is not None and latency_ms:
        row["mfu"] = _share(row["flops_per_output"], latency_ms, machine.body.get("matmul_gflop_per_s"))
        row["mbu"] = _share(row["bytes_per_output"], latency_ms, machine.body.get("copy_gb_per_s"))
    return {**row, "memory_method": memory.get("method")}


def phases(samples: list[dict[str, Any]]) -> dict[str, float | None]:
    """Medians of the shares of a generation that its forward passes and its sampler take, where it tells of both."""
    told = [s for s in clean(samples) if {"forward", "sampler"} <= (s.get("phases_ms") or {}).keys()]
    return {
        f"{phase}_share": _middle([s["phases_ms"][phase] / s["e2e_ms"] for s in told]) if told else None
        for phase in ("forward", "sampler")
    }


def trail(record: Source) -> dict[str, Any]:
    """Where the row comes from."""
    body = record.body
    origin, stop = body.get("provenance") or {}, body.get("stop") or {}
    git = origin.get("git") or {}
    half_width = stop.get("half_width")
    return {
        "stop_reason": stop.get("reason"),
        "stop_half_width": half_width if isinstance(half_width, int | float) else None,
        "compile_ms": body.get("compile_ms"),
        "ready_s": body.get("ready_s"),
        "launch": body.get("launch"),
        **{name: origin.get(name) for name in ("rule", "command", "code_sha256")},
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "started": origin.get("start"),
        "ended": origin.get("end"),
        "scores": body["cell"].get("quality"),
        "record": record.path,
        "record_sha256": record.sha256,
    }


def with_interval(name: str, estimate: Any, stem: str = "") -> dict[str, Any]:
    """A column and its two bounds; empty for no estimate."""
    if estimate is None:
        return {}
    stem = stem or name
    return {name: estimate.value, f"{stem}_low": estimate.low, f"{stem}_high": estimate.high}


def bounded(estimate: Any) -> Any:
    """The estimate, or None where it has no interval: a speedup is never shown without one."""
    return None if estimate is None or estimate.low is None else estimate


def _field(samples: list[Sample], name: str) -> list[float]:
    return [math.nan if sample.get(name) is None else sample[name] for sample in samples]


def _middle(values: list[float]) -> float | None:
    return statistics.percentile(values, 50)


def _mean(values: list[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan


def _share(amount: float | None, latency_ms: float, giga_per_s: float | None) -> float | None:
    return amount / (latency_ms / 1000) / (giga_per_s * 1e9) if amount and giga_per_s else None
