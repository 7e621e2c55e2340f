"""The noise floor."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Rows, computed, ident


def find(tables: Rows) -> list[Found]:
    rows = [row for row in tables["noise"] if row["half_width"] is not None]
    if not rows:
        return []
    worst = max(rows, key=lambda row: row["half_width"])
    told = "cells measured against themselves"
    return [
        Pick(ident("noise", "floor"), "noise", (worst["key"],), "half_width"),
        Pick(ident("noise", "worst_ratio"), "noise", (worst["key"],), "ratio"),
        computed(ident("noise", "cells"), "noise", rows, len(rows), told, n=len(rows)),
    ]


FINDING = Finding("noise", ("noise",), find)
