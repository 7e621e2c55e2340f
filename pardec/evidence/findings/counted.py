"""How far torch's own count of operations lies from ours."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Pick, Rows, computed, ident


def find(tables: Rows) -> list[Found]:
    rows = [row for row in tables["cells"] if row["flops_agreement"] is not None]
    if not rows:
        return []
    ordered = sorted(rows, key=lambda row: row["flops_agreement"])
    told = "cells whose operations torch's counter counted too"
    return [
        computed(ident("counted", "cells"), "cells", rows, len(rows), told, n=len(rows)),
        Pick(ident("counted", "least"), "cells", (ordered[0]["key"],), "flops_agreement"),
        Pick(ident("counted", "middle"), "cells", (ordered[len(rows) // 2]["key"],), "flops_agreement"),
        Pick(ident("counted", "most"), "cells", (ordered[-1]["key"],), "flops_agreement"),
    ]


FINDING = Finding("counted", ("cells",), find)
