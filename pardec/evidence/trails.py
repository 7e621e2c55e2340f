"""Trails: digests of the records behind published numbers, small enough to embed in the report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.files import read_json, sha256

KEPT = ("rule", "command", "inputs", "code_sha256", "git", "machine", "environment", "start", "end", "seed")


def trail(path: str | Path) -> dict[str, Any]:
    """Return the digest of one record, score or likelihood file.

    It has the file's hash, facts of its provenance (see `pardec.evidence.provenance`), and its raw samples:
    `samples_ms` and `reference_ms` of a timing record, `per_prompt` scores of a score.

    Raises:
        UserError: the file is missing or damaged.
    """
    body = read_json(path)
    origin = body.get("provenance") or {}
    entry: dict[str, Any] = {key: origin[key] for key in KEPT if key in origin}
    entry["sha256"] = sha256(path)
    if "cell" in body:
        entry |= {
            "status": body["status"],
            "launch": body["launch"],
            "stop": body.get("stop"),
            "samples_ms": _latencies(body["samples"]),
            "reference_ms": _latencies((body.get("reference") or {}).get("samples", [])),
            "flags": sorted({flag for sample in body["samples"] for flag in sample.get("flags", [])}),
        }
    if "metrics" in body:
        main = body["metrics"].get(body["main"]) or {}
        entry |= {
            "metric": body["main"],
            "per_prompt": [_short(value) for value in main.get("per_prompt") or []],
        }
    return entry


def _latencies(samples: list[dict]) -> list[float]:
    return [round(sample["e2e_ms"], 4) for sample in samples]


def _short(value: float | None) -> float | None:
    return None if value is None else round(value, 4)
