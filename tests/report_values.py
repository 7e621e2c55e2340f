"""Values, findings and trails of the synthetic report, as the evidence stage publishes them."""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pandas as pd

from pardec.evidence.answers import answers
from pardec.evidence.findings import find
from pardec.evidence.tables.inputs import rows_of
from pardec.evidence.tables.registry import TABLES, value_id
from pardec.evidence.values import stated


def values(frames: dict[str, pd.DataFrame]) -> dict:
    """A value for every numeric column of every row, as the evidence stage publishes them."""
    result = {}
    for name, frame in frames.items():
        columns = TABLES.load(name).all_columns
        for number, record in enumerate(frame.to_dict("records")):
            clean = {column: _clean(content) for column, content in record.items()}
            for column, content in record.items():
                if (
                    isinstance(content, bool)
                    or not isinstance(content, int | float)
                    or column.endswith(("_low", "_high"))
                ):
                    continue
                base = column if f"{column}_low" in record else column.rsplit("_", 1)[0]
                ident = value_id(name, clean, column)
                low, high = clean.get(f"{base}_low"), clean.get(f"{base}_high")
                result[ident] = {
                    **stated(ident, clean[column], columns[column].unit, low, high),
                    "n": clean.get("n"),
                    "source": [
                        {"path": f"results/tables/{name}.csv", "sha256": _hash(name), "rows": [number]}
                    ],
                    "rule": "tabulate",
                    "command": f"python scripts/tabulate.py --table {name} --out results/tables/{name}.csv",
                    "records": [record["record"]] if record.get("record") else [],
                }
    rows = {name: rows_of(frame) for name, frame in frames.items()}
    return {"values": result | findings(rows), "answers": answers(rows)}


def findings(rows: dict[str, list[dict]]) -> dict[str, dict]:
    """Numbers computed from several rows, by the code that computes them for a real run."""
    return {
        item.id: {
            **stated(item.id, item.value, item.unit, item.low, item.high),
            "n": item.n,
            "source": [
                {"path": f"results/tables/{item.table}.csv", "sha256": _hash(item.table), "rows": [0]}
            ],
            "rule": "collect_values",
            "command": "python scripts/collect_values.py",
            "description": item.description,
            "records": [],
        }
        for item in find(rows)
    }


def trails(frames: dict[str, pd.DataFrame]) -> dict:
    """A provenance digest for every record named by a table."""
    result = {}
    for frame in frames.values():
        for record in frame.to_dict("records"):
            if not {"latency_ms", "prompt_tokens", "n_all"} <= set(record) or not isinstance(
                record["record"], str
            ):
                continue
            middle = record["latency_ms"] if record["latency_ms"] == record["latency_ms"] else None
            result[record["record"]] = {
                "rule": "time_cell",
                "command": f"python scripts/time_cell.py --cell {record['key']} --out {record['record']}",
                "inputs": [
                    {
                        "path": f"results/models/{record['model']}/model.safetensors",
                        "sha256": _hash(record["model"]),
                    }
                ],
                "code_sha256": _hash("code"),
                "git": {"commit": _hash("commit")[:40], "dirty": False},
                "machine": {"cpu": "synthetic two-core machine", "cores": 2, "memory_gb": 8},
                "environment": {"python": "3.11", "torch": "2.13.0"},
                "start": "2026-01-01T00:00:00Z",
                "end": "2026-01-01T00:00:09Z",
                "launch": "forked",
                "samples_ms": []
                if middle is None
                else [middle * (1 + 0.03 * math.sin(i)) for i in range(12)],
                "reference_ms": [] if middle is None else [35 * (1 + 0.02 * math.cos(i)) for i in range(12)],
                "stop": {"reason": "precise", "half_width": 0.02, "target": 0.03, "budget_s": 10.0},
            }
    return result


def _clean(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else value


def _hash(words: str) -> str:
    return hashlib.sha256(words.encode()).hexdigest()
