"""Exponents of both families: throughput in batch, latency and memory in length."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Row, Rows, ident

WANTED = (
    ("batch", "tokens_per_s", "batch"),
    ("length", "latency_ms", "new_tokens"),
    ("length", "peak_allocated_mb", "new_tokens"),
    ("length", "working_mb", "new_tokens"),
)


def find(tables: Rows) -> list[Found]:
    """One exponent a task and arm; where batch is fixed, the smallest; where steps differ, the fewest."""
    chosen: dict[str, Row] = {}
    for row in tables["scaling"]:
        if (row["experiment"], row["quantity"], row["against"]) in WANTED:
            name = ident("growth", row["quantity"], row["task"], row["arm"] or row["decoder"])
            if name not in chosen or _order(row) < _order(chosen[name]):
                chosen[name] = row
    return [Pick(name, "scaling", (row["key"],), "exponent") for name, row in chosen.items()]


def _order(row: Row) -> tuple[int, int, int]:
    return row["batch"] or 0, row["steps"] or 0, row["new_tokens"] or 0


FINDING = Finding("growth", ("scaling",), find)
