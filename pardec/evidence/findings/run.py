"""What the run consisted of."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Rows, computed, ident


def find(tables: Rows) -> list[Found]:
    rows = tables["cells"]
    if not rows:
        return []
    counts = {
        "cells": (len(rows), "cells in the study"),
        "ok": (sum(row["status"] == "ok" for row in rows), "cells measured"),
        "failed": (sum(row["status"] != "ok" for row in rows), "cells that ended otherwise, kept as results"),
        "flagged": (sum(row["flags"] is not None for row in rows), "cells with a flag on some sample"),
        "samples": (sum(row["n_all"] for row in rows), "timed generations of the cells themselves"),
        "disagreeing": (
            sum(row["outputs_agree"] is False for row in rows),
            "cells whose timed outputs differ from another cell's that ought to write the same",
        ),
    }
    return [
        computed(ident("run", name), "cells", rows, value, told, n=len(rows))
        for name, (value, told) in counts.items()
    ]


FINDING = Finding("run", ("cells",), find)
