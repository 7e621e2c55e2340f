"""How still the machine held over the run, and how much repetition it took."""

from __future__ import annotations

import math
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.findings.base import Finding, Found, Row, Rows, computed, ident

stats = lazy("scipy.stats")

LEVEL = 0.95


def find(tables: Rows) -> list[Found]:
    rows = tables["stability"]
    cells = [row for row in rows if row["side"] == "cell" and row["status"] == "ok"]
    again = [row for row in rows if row["relative"] is not None]
    return [*_repetitions(cells), *_flagged(rows), *_drift(again)]


def _repetitions(cells: list[Row]) -> list[Found]:
    if not cells:
        return []
    most, least = max(row["n_all"] for row in cells), min(row["n_all"] for row in cells)
    found: list[Found] = [
        computed(
            ident("stability", "most"), "stability", cells, most, "most samples a cell took", n=len(cells)
        ),
        computed(ident("stability", "least"), "stability", cells, least, "fewest samples", n=len(cells)),
    ]
    for reason in sorted({row["stop_reason"] for row in cells if row["stop_reason"]}):
        here = [row for row in cells if row["stop_reason"] == reason]
        told = f"cells whose sampling ended because: {reason}"
        found.append(computed(ident("stability", "stop", reason), "stability", here, len(here), told))
    return found


def _flagged(rows: list[Row]) -> list[Found]:
    if not rows:
        return []
    counts = {
        "samples": (sum(row["n_all"] for row in rows), "timed generations, of cells and references"),
        "flagged": (sum(row["flagged"] for row in rows), "of these flagged by the machine's state"),
    }
    return [
        computed(ident("stability", name), "stability", rows, value, told, n=len(rows))
        for name, (value, told) in counts.items()
    ]


def _drift(rows: list[Row]) -> list[Found]:
    """The trend of the same work's latency over the run.

    Theil-Sen slope of log(relative latency) over time with its distribution-free interval (Sen 1968), over the
    run's span: a slope that a few disturbed series cannot bend.
    """
    if not rows:
        return []
    groups = len({row["work"] for row in rows})
    told = "series whose work was timed in several processes"
    found: list[Found] = [
        computed(ident("stability", "again"), "stability", rows, len(rows), told, n=groups),
        computed(ident("stability", "works"), "stability", rows, groups, "different works among them"),
    ]
    far = max(rows, key=lambda row: abs(math.log(row["relative"])))
    told = "the same work's latency farthest from its median over the run"
    ends = {"low": far["relative_low"], "high": far["relative_high"], "unit": "×", "n": far["n"]}
    same = [row for row in rows if row["work"] == far["work"]]
    found.append(computed(ident("stability", "farthest"), "stability", same, far["relative"], told, **ends))
    times: list[Any] = [row["started_s"] for row in rows]
    if None in times or len(set(times)) < 3:
        return found
    told = "factor by which the same work's latency changes from the run's first cell to its last"
    slope = stats.theilslopes([math.log(row["relative"]) for row in rows], times, LEVEL)
    span = max(times) - min(times)
    value, low, high = (math.exp(span * s) for s in (slope.slope, slope.low_slope, slope.high_slope))
    ends = {"low": low, "high": high, "unit": "×", "n": len(rows)}
    found.append(computed(ident("stability", "drift"), "stability", rows, value, told, **ends))
    told = "time between the start of the first and of the last of them"
    found.append(computed(ident("stability", "span"), "stability", rows, span, told, unit="s", n=len(rows)))
    return found


FINDING = Finding("stability", ("stability",), find)
