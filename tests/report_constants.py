"""A synthetic study, its claims, jobs and small tables, for pages of the tests."""

from __future__ import annotations

from typing import Any

STEPS = (1, 4, 8, 16, 64)
QUALITY = {
    "grid": (0.98, (0.91, 0.97, 0.98, 0.98, 0.98)),
    "copy": (0.99, (0.97, 1.0, 1.0, 1.0, 1.0)),
    "sort": (0.88, (0.55, 0.70, 0.74, 0.75, 0.76)),
    "shuffle": (1.0, (0.0, 0.30, 0.78, 0.99, 1.0)),
    "text": (2.9, (6.2, 4.9, 4.3, 3.9, 3.5)),
}
DECODERS = ("autoregressive", "masked_diffusion")
CLAIMS: dict[str, Any] = {
    "seeds": {"000": "A seed of the tests"},
    "claims": [
        {
            "id": f"000.{number}",
            "seed": "000",
            "statement": statement,
            "expected": "it is measured",
            "reproduced_if": None,
            "verdict": verdict,
            "reason": reason,
            "evidence": [],
            "pieces": ["It was looked at."] if reason is None else [],
            "parts": [],
        }
        for number, statement, verdict, reason in (
            (1, "Penguins decode in parallel.", "reproduced", None),
            (2, "Walruses decode in series.", "not run yet", "waits for an experiment"),
        )
    ],
}
JOBS: dict[str, Any] = {
    "jobs": [
        {
            "rule": rule,
            "paper": f"results/{rule}-{number}.json",
            "outputs": [f"results/{rule}-{number}.json"],
            "start": "2026-01-01T00:00:00+00:00",
            "end": f"2026-01-01T00:00:{number + 1:02}+00:00",
        }
        for rule, count in (("prepare_data", 1), ("train_model", 2), ("time_cell", 5), ("tabulate", 3))
        for number in range(count)
    ],
    "stages": [
        {"rule": "prepare_data", "script": "scripts/prepare_data.py", "after": []},
        {"rule": "train_model", "script": "scripts/train_model.py", "after": ["prepare_data"]},
        {"rule": "time_cell", "script": "scripts/time_cell.py", "after": ["prepare_data", "train_model"]},
        {"rule": "tabulate", "script": "scripts/tabulate.py", "after": ["time_cell"]},
    ],
}


OTHERS: dict[str, list[dict]] = {
    "likelihood": [
        {
            "key": "ar-text",
            "model": "ar-text",
            "kind": "exact",
            "exact_nats_per_token": 3.31,
            "exact_low": 3.2,
            "exact_high": 3.4,
            "n": 32,
        },
        {
            "key": "mdm-text",
            "model": "mdm-text",
            "kind": "bound",
            "bound_nats_per_token": 4.34,
            "bound_low": 4.2,
            "bound_high": 4.5,
            "n": 32,
        },
    ],
    "growth": [
        {
            "key": f"{decoder}/{quantity}",
            "experiment": "length",
            "experiment_kind": "length",
            "span": "all",
            "x_unit": "tokens",
            "series": decoder,
            "quantity": quantity,
            "against": "new_tokens",
            "task": "text",
            "decoder": decoder,
            "steps": 16 if decoder == "masked_diffusion" else None,
            "batch": 1,
            "exponent": 0.97,
            "exponent_low": 0.9,
            "exponent_high": 1.05,
            "n": 4,
            "from_x": 32,
            "to_x": 256,
            "growth": 7.7,
        }
        for decoder in DECODERS
        for quantity in ("latency_ms", "working_mb")
    ],
    "machine": [
        {"key": "cpu", "fact": "cpu", "text": "Synthetic CPU 9000 @ 3.2GHz"},
        {"key": "copy_gb_per_s", "fact": "copy_gb_per_s", "value": 11.8, "unit": "GB/s", "text": "11.8"},
        {
            "key": "matmul_gflop_per_s",
            "fact": "matmul_gflop_per_s",
            "value": 95.0,
            "unit": "GFLOP/s",
            "text": "95.0",
        },
        {"key": "packages/torch", "fact": "packages/torch", "text": "2.13.0"},
    ],
}
STUDY: dict[str, Any] = {
    "name": "synthetic",
    "title": "Masked diffusion against autoregression (synthetic)",
    "seed": 7,
    "device": "cpu",
    "threads": 1,
    "precision": "float32",
    "measure": {
        "warmup_passes": 3,
        "warmup_s": 0.5,
        "min_samples": 6,
        "max_samples": 60,
        "target_half_width": 0.05,
        "budget_s": 2.0,
        "timeout_s": 120.0,
        "prompts": 24,
        "isolation": "forked",
    },
    "data": {"grid": {"source": "grid"}},
    "models": {
        "ar-grid": {"source": "train", "steps": 900},
        "mdm-grid": {"source": "train", "init": "ar-grid", "size": {"hidden": 96}},
        "unused": {"source": "train"},
    },
    "arms": {
        "ar": {"decoder": "autoregressive", "engine": "eager", "settings": {"temperature": 0}},
        "diffusion": {
            "decoder": "masked_diffusion",
            "engine": "eager",
            "settings": {"steps": 16, "block": None},
        },
    },
    "workloads": {
        task: {
            "data": "grid",
            "new_tokens": 32,
            "prompts": 48,
            "metrics": ["exact"],
            "models": {"ar": "ar-grid", "diffusion": "mdm-grid"},
        }
        for task in QUALITY
    },
    "experiments": {
        "steps": {
            "question": "At how many steps is quality equal?",
            "grids": [{"workloads": list(QUALITY), "arms": ["ar", "diffusion"], "reference": "ar"}],
        },
        "noise": {
            "question": "How noisy?",
            "grids": [{"workloads": ["grid"], "arms": ["ar"], "reference": None}],
        },
    },
}
PROMISED = [
    "model", "decoder", "steps", "block", "batch", "prompt_tokens", "new_tokens", "engine", "precision",
    "status", "n", "latency_ms", "latency_low", "latency_high", "ttft_ms", "tpot_ms", "tokens_per_s", "nfe",
    "peak_allocated_mb", "peak_reserved_mb", "quality", "quality_low", "quality_high", "quality_metric",
    "record",
]  # fmt: skip
"""Columns that the table of steps always has."""
