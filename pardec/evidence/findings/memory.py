"""Peak memory of both families at the largest shape that both finished, and what did not finish."""

from __future__ import annotations

from collections import defaultdict

from pardec.evidence.findings.base import Finding, Found, Pick, Row, Rows, computed, ident
from pardec.evidence.tables.series import DIFFUSION, SEQUENTIAL

COLUMNS = ("peak_allocated_mb", "working_mb", "batch", "new_tokens")


def find(tables: Rows) -> list[Found]:
    rows = tables["memory"]
    if not rows:
        return []
    lost = [row for row in rows if row["status"] == "oom"]
    told = "cells of the memory grid that ran out of memory"
    found: list[Found] = [
        computed(ident("memory", "oom"), "memory", lost or rows, len(lost), told, n=len(rows))
    ]
    pair = _largest(rows)
    if pair is None:
        return found
    for row in pair:
        found += [
            Pick(ident("memory", row["family"], c), "memory", (row["key"],), c)
            for c in COLUMNS
            if row[c] is not None
        ]
    sequential, parallel = pair
    share = parallel["peak_allocated_mb"] / sequential["peak_allocated_mb"]
    told = "peak allocated memory, parallel arm / sequential arm, at the largest shape both finished"
    return [
        *found,
        computed(ident("memory", "ratio"), "memory", [sequential, parallel], share, told, unit="×"),
    ]


def _largest(rows: list[Row]) -> tuple[Row, Row] | None:
    """(autoregressive, diffusion) of the largest batch × length; of several diffusion cells the fewest steps."""
    shapes: dict[tuple, dict[str, Row]] = defaultdict(dict)
    for row in sorted(rows, key=lambda row: row["steps"] or 0, reverse=True):
        if row["status"] == "ok" and row["peak_allocated_mb"] is not None:
            shapes[row["task"], row["batch"], row["prompt_tokens"], row["new_tokens"]][row["family"]] = row
    both = [
        (group[SEQUENTIAL], group[DIFFUSION])
        for group in shapes.values()
        if {SEQUENTIAL, DIFFUSION} <= group.keys()
    ]
    return max(both, key=lambda pair: pair[0]["batch"] * pair[0]["new_tokens"], default=None)


FINDING = Finding("memory", ("memory",), find)
