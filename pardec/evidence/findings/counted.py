"""How far torch's own count of operations lies from ours."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Rows, computed, ident


def find(tables: Rows) -> list[Found]:
    rows = [row for row in tables["cells"] if row["torch_flops_ratio"] is not None]
    if not rows:
        return []
    ordered = sorted(rows, key=lambda row: row["torch_flops_ratio"])
    told = "cells whose operations torch's counter counted too"
    return [
        computed(ident("counted", "cells"), "cells", rows, len(rows), told, n=len(rows)),
        Pick(ident("counted", "least"), "cells", (ordered[0]["key"],), "torch_flops_ratio"),
        Pick(ident("counted", "middle"), "cells", (ordered[len(rows) // 2]["key"],), "torch_flops_ratio"),
        Pick(ident("counted", "most"), "cells", (ordered[-1]["key"],), "torch_flops_ratio"),
    ]


FINDING = Finding("counted", ("cells",), find)
