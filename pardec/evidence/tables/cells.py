"""Table `cells`: one row per cell with medians, percentiles, paired ratios, quality and verdict."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from typing import Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.evidence import comparison
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cell_columns import CELL
from pardec.evidence.tables.inputs import AGAIN, Inputs, Source
from pardec.evidence.tables.pairs import (
    Pairs,
    Sample,
    clean,
    committed_per_row,
    first_block_ms,
    flags,
    gaps_ms,
    interval,
    kind_of,
    pair,
    task_of,
    tpot_ms,
)  # fmt: skip

np = lazy("numpy")
statistics = lazy("pardec.evidence.statistics")


def build(inputs: Inputs) -> list[dict[str, Any]]:
    """Return one row per record, failed cells included."""
    agree = outputs_agree(inputs.records)
    arms = Arms(inputs.records)
    rows = [row_of(record, inputs, arms, agree.get(record.path)) for record in inputs.records]
    noise = noise_floor(rows)
    for row in rows:
        row["noise_floor"], row["delta"] = noise, comparison.delta(noise)
        row["noise_source"] = comparison.FALLBACK if noise is None else comparison.PAIRED_NOISE
        row["speed"] = comparison.speed(row.get("ratio_low"), row.get("ratio_high"), row["delta"])
        row["verdict"], reason = comparison.verdict(row)
        row["verdict_reason"] = reason and comparison.REASONS[reason]
    return rows


def reach(row: dict[str, Any]) -> float | None:
    """Return the distance of an A/A ratio or its interval from 1; None without an interval."""
    ends = [row.get(name) for name in ("ratio_low", "ratio", "ratio_high")]
    return None if None in ends else max(abs(end - 1) for end in ends)


def noise_floor(rows: list[dict[str, Any]]) -> float | None:
    """Return the largest distance of an A/A cell in `rows` from 1; None without A/A cells."""
    reaches = [reach(row) for row in rows if row["experiment_kind"] == "noise"]
    return max((one for one in reaches if one is not None), default=None)


def row_of(record: Source, inputs: Inputs, arms: Arms, agree: bool | None) -> dict[str, Any]:
    """Return one cell's row. Failed cells have a row too; quantities not measured are empty.

    Raises:
        UserError: the record's samples are damaged.
    """
    reference = (record.body.get("reference") or {}).get("cell")
    if reference is not None:  # Its prompts are those of the cell beside it.
        reference = {**reference, "tuning": record.body["cell"].get("tuning")}
    try:
        measured = {**times(record), **paired(record, arms.cell_id(reference))}
    except (TypeError, ValueError) as error:
        raise UserError(record.path, f"has damaged samples ({error})", AGAIN) from None
    if record.body["status"] != "ok":
        kept = "n_all flags reference reference_arm reference_model reference_decoder reference_family"
        measured = {"n": 0, **{name: measured.get(name) for name in kept.split()}}
    return {
        **what(record, inputs),
        **measured,
        **resources(record, inputs.machine, measured.get("latency_ms")),
        **scored(record, arms.scores(reference), inputs),
        "outputs_agree": agree,
        **origin_columns(record),
    }


def scored(record: Source, reference_path: str | None, inputs: Inputs) -> dict[str, Any]:
    """Return the quality columns: against the reference by tokens, and by scores if both were scored."""
    body, cell = record.body, record.body["cell"]
    reference = body.get("reference") or {}
    trim = comparison.useful_tokens(body["samples"], reference.get("samples") or ())
    tokens = comparison.same_tokens(
        body.get("outputs"), reference.get("outputs"), trim, cell.get("precision")
    )
    path = cell.get("quality")
    row = comparison.quality(path, reference_path, inputs.scores, inputs.study("margins"), tokens["lossless"])
    return {**row, "lossless_prompts": tokens["lossless_prompts"]}


class Arms:
    """Finds a reference arm's own cell among the records by its configuration, of the same arm where there is one."""

    def __init__(self, records: tuple[Source, ...]):
        self.ids: dict[tuple, str] = {}
        self.paths: dict[tuple, str] = {}
        for cell in (record.body["cell"] for record in records):
            for arm in (cell.get("arm"), None):
                self.ids.setdefault((arm, *times_as(cell)), cell["id"])
            if cell.get("quality"):
                self.paths.setdefault(writes(cell), cell["quality"])

    def cell_id(self, reference: dict[str, Any] | None) -> str | None:
        """Return the id of the cell with the configuration of `reference`; None without such a record."""
        if reference is None:
            return None
        key = times_as(reference)
        return self.ids.get((reference.get("arm"), *key)) or self.ids.get((None, *key))

    def scores(self, reference: dict[str, Any] | None) -> str | None:
        """Return the path of the scores of `reference`; outputs do not depend on batch or experiment."""
        if reference is None:
            return None
        return reference.get("quality") or self.paths.get(writes(reference))


def writes(cell: dict[str, Any]) -> tuple:
    """Return the key that determines a cell's outputs: equal keys must give equal tokens for equal prompts."""
    settings = json.dumps(cell["settings"], sort_keys=True)
    shape = (
        cell.get("precision"),
        cell.get("prompt_tokens"),
        cell["new_tokens"],
        bool(cell.get("random_prompts")),
    )
    companions = json.dumps(cell.get("companions") or {}, sort_keys=True)
    return (task_of(cell), cell["model"], companions, cell["decoder"], settings, *shape)


def times_as(cell: dict[str, Any]) -> tuple:
    """Return the key of cells that do the same in one experiment: `writes`, and what else decides their time."""
    return cell["experiment"], cell.get("engine"), cell["batch"], bool(cell.get("tuning")), *writes(cell)


def outputs_agree(records: tuple[Source, ...]) -> dict[str, bool]:
    """Return by record whether its timed outputs equal those of every other cell with the same key (`writes`).

    The same prompt must give the same tokens at any batch size, in any experiment. A record that shares no prompt with
    another is absent.
    """
    seen: dict[tuple, dict[tuple, list[str]]] = defaultdict(lambda: defaultdict(list))
    for record in records:
        same = writes(record.body["cell"])
        for output in record.body.get("outputs") or ():
            seen[(*same, str(output["prompt"]))][tuple(output["tokens"])].append(record.path)
    verdicts: dict[str, bool] = {}
    for variants in seen.values():
        paths = [path for group in variants.values() for path in group]
        if len(paths) > 1:
            for path in paths:
                verdicts[path] = verdicts.get(path, True) and len(variants) == 1
    return verdicts


def what(record: Source, inputs: Inputs) -> dict[str, Any]:
    """Return the columns that describe the cell's configuration and status."""
    body, cell = record.body, record.body["cell"]
    labels, task = inputs.study("arms"), task_of(cell)
    plain = "data model family arm decoder engine precision device threads batch prompt_tokens new_tokens run"
    return {
        "cell": cell["id"],
        "experiment": cell["experiment"],
        "experiment_kind": kind_of(cell, inputs.study("kinds")),
        "task": task,
        "task_label": inputs.study("workloads").get(task) or task,
        **{name: cell.get(name) for name in plain.split()},
        "label": labels.get(cell.get("arm")) or cell.get("arm"),
        "verified": True if body.get("verified") else None,
        "random_prompts": bool(cell.get("random_prompts")),
        "tuning": bool(cell.get("tuning")),
        "steps": cell["settings"].get("steps"),
        "block": cell["settings"].get("block"),
        "prompt_mean_tokens": (body.get("prompt_length") or {}).get("mean"),
        "settings": json.dumps(cell["settings"], sort_keys=True),
        "role": "cell" if body.get("reference") else "reference",
        "status": body["status"],
        "reason": body.get("reason"),
    }


def times(record: Source) -> dict[str, Any]:
    """Return medians with intervals, percentiles and means of the clean samples."""
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
        **interval("latency_ms", statistics.median(e2e), "latency"),
        **interval("ttft_ms", statistics.median(_field(samples, "first_ms")), "ttft"),
        **interval("tpot_ms", statistics.median([tpot_ms(s) for s in samples]), "tpot"),
        **interval("tokens_per_s", statistics.median(np.array(_field(samples, "useful")) / seconds)),
        **interval("canvas_tokens_per_s", statistics.median(np.array(_field(samples, "canvas")) / seconds)),
        "ttft_block_ms": _middle([first_block_ms(s) for s in samples]),
        **{f"itl_p{q}_ms": statistics.percentile(gaps, q) for q in (50, 95)},
        "latency_p95_ms": statistics.percentile(e2e, 95),
        **{name: _middle(_field(samples, name)) for name in ("prefill_ms", "host_ms", "cpu_ms")},
        "useful_tokens": _mean(_field(samples, "useful")) / batch,
        "nfe": _mean(_field(samples, "nfe")),
        "tokens_per_forward": _mean([committed_per_row(s) / s["nfe"] for s in samples if s["nfe"]]),
        "token_forwards": _mean(_field(samples, "token_forwards")),
    }


def paired(record: Source, reference_id: str | None) -> dict[str, Any]:
    """Return ratios against the reference arm, from pairs in one process; {} without a reference."""
    reference = record.body.get("reference")
    if not reference:
        return {}
    cell = reference["cell"]
    names = ("arm", "model", "decoder", "family")
    row = {"reference": reference_id, **{f"reference_{name}": cell.get(name) for name in names}, "n_pairs": 0}
    pairs = pair(record.body["samples"], reference["samples"])
    return {**row, **_ratios(pairs)} if len(pairs) else row


def _ratios(pairs: Pairs) -> dict[str, Any]:
    latency, reference_latency = (np.array(_field(side, "e2e_ms")) for side in (pairs.cell, pairs.reference))
    useful, reference_useful = (np.array(_field(side, "useful")) for side in (pairs.cell, pairs.reference))
    keys = pairs.prompts, pairs.blocks
    throughput = None
    if np.all(useful > 0) and np.all(reference_useful > 0):
        throughput = statistics.ratio_of_medians(
            useful / latency, reference_useful / reference_latency, *keys
        )
    return {
        "n_pairs": len(pairs),
        "n_prompts": len(set(keys[0])),
        "one_prompt": len(set(keys[0])) == 1,
        "reference_latency_ms": float(np.median(reference_latency)),
        **interval("ratio", bounded(statistics.ratio_of_medians(reference_latency, latency, *keys))),
        **interval("throughput_ratio", bounded(throughput)),
    }


def resources(record: Source, machine: Source | None, latency_ms: float | None) -> dict[str, Any]:
    """Return memory, counted work, and the fractions of the machine's rates (MFU, MBU); {} for a failed cell."""
    if record.body["status"] != "ok":
        return {}
    memory, work, energy = (record.body.get(part) or {} for part in ("memory", "work", "energy"))
    parts = ("weights_mb", "cache_mb", "logits_mb")
    row = {name: memory.get(name) for name in ("peak_allocated_mb", "peak_reserved_mb", "rss_mb", *parts)}
    peak, held = row["peak_allocated_mb"], [row[name] for name in parts]
    if None not in (peak, held[0]):
        row["working_mb"] = peak - held[0]
    if None not in (peak, *held):
        row["activations_mb"] = max(0.0, peak - sum(held))
    row |= {
        name: work.get(name)
        for name in ("flops_per_output", "bytes_per_output", "forwards", "flops_agreement")
    }
    flops, moved = row["flops_per_output"], row["bytes_per_output"]
    if flops and latency_ms:
        row["achieved_gflop_per_s"] = flops / latency_ms / 1e6
        row["intensity"] = flops / moved if moved else None
    if machine is not None and latency_ms:
        row["mfu"] = _share(flops, latency_ms, machine.body.get("matmul_gflop_per_s"))
        row["mbu"] = _share(moved, latency_ms, machine.body.get("copy_gb_per_s"))
    return {
        **row,
        **phases(record.body["samples"]),
        **{name: energy.get(name) for name in ("joules_per_output", "net_joules_per_output")},
        "energy_valid": energy.get("valid"),
        "largest_batch": (record.body.get("largest_batch") or {}).get("fits"),
    }


def phases(samples: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the median shares of a generation's time in forward passes and in the sampler, if it recorded both."""
    phased = [s for s in clean(samples) if {"forward", "sampler"} <= (s.get("phases_ms") or {}).keys()]
    return {
        f"{phase}_share": _middle([s["phases_ms"][phase] / s["e2e_ms"] for s in phased]) if phased else None
        for phase in ("forward", "sampler")
    }


def origin_columns(record: Source) -> dict[str, Any]:
    """Return the columns on the row's origin: stopping, launch, code, git state, record and hash."""
    body = record.body
    origin, stop = body.get("provenance") or {}, body.get("stop") or {}
    git = origin.get("git") or {}
    return {
        "stop_reason": stop.get("reason"),
        "compile_ms": body.get("compile_ms"),
        "ready_s": body.get("ready_s"),
        "launch": body.get("launch"),
        **{name: origin.get(name) for name in ("rule", "command", "code_sha256")},
        "git_commit": git.get("commit"),
        "git_dirty": git.get("dirty"),
        "started": origin.get("start"),
        "ended": origin.get("end"),
        "scores": body["cell"].get("quality"),
        **record.origin,
    }


def bounded(estimate: Any) -> Any:
    """Return the estimate, or None without an interval: a speedup is never shown without one."""
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


CELLS = Table(
    name="cells",
    description="One row per cell, failed ones included, with every measurement and where it comes from.",
    needs=("records", "scores", "machine", "floors"),
    key=("cell",),
    columns=CELL,
    build=build,
)
