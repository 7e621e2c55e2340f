"""Table `flood_growth`: growth of a flood's time with the roots of its plan: exponents, and where O(1) ends."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.evidence.columns import SOURCES, count, flag, measured, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.growth import EXPONENTS, constant_to, grown
from pardec.evidence.tables.inputs import Inputs


def build(inputs: Inputs) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in inputs.rows("flood"):
        name = row["series"]
        if name and row["latency_ms"] is not None:
            # The first cell of a size represents it; the same work may be timed on a canvas of another length.
            groups[row["experiment"], name].setdefault(row["roots"], row)
    growths = []
    for (_, name), sizes in groups.items():
        rows = [sizes[roots] for roots in sorted(sizes)]
        if len(rows) > 1:
            growths.append(_growth(name, rows))
    return growths


def _growth(name: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    x, y = [row["roots"] for row in rows], [row["latency_ms"] for row in rows]
    constant = constant_to(rows, "roots", _end)
    first = rows[0]
    return {
        "experiment": first["experiment"],
        "series": name,
        "model": first["model"],
        **{column: first[column] for column in ("decoder", "order", "candidates", "plan", "manager")},
        **grown(x, y, [(row["latency_low"], row["latency_high"]) for row in rows], "slope_ms"),
        "from_roots": x[0],
        "to_roots": x[-1],
        "smallest_ms": y[0],
        "largest_ms": y[-1],
        "constant_to": constant,
        "constant_throughout": constant == x[-1],
        **{column: " ".join(row[column] for row in rows) for column in SOURCES},
    }


def _end(row: dict[str, Any], end: str) -> float:
    return row["latency_ms"] if row[f"latency_{end}"] is None else row[f"latency_{end}"]


TABLE = Table(
    name="flood_growth",
    description="Growth of the latency with the roots of a plan: y ~ roots^exponent by least squares on logarithms, "
    "y ~ slope x roots by least squares, over the sizes of one order and number of candidates.",
    needs=("flood",),
    key=("experiment", "series"),
    columns={
        "experiment": text("which experiment, of kind flood", nullable=False),
        "series": text(
            "order and candidates; lookup; or end to end, the manager's time included", nullable=False
        ),
        "model": text("name of the model", nullable=False),
        "decoder": text("how tokens are written", nullable=False),
        "order": text("parallel, by_root or by_candidate; empty for decoders that render nothing"),
        "candidates": count("candidates a condition, K", "candidates"),
        "plan": text("given, or written by the manager"),
        "manager": text("how the manager decodes; empty where the plan is given"),
        **EXPONENTS,
        **measured("slope_ms", "ms/root", "slope of the latency; no interval from two sizes"),
        "n": count("sizes in the fit", "sizes"),
        "from_roots": count("roots of the smallest plan", "roots"),
        "to_roots": count("roots of the largest plan", "roots"),
        "smallest_ms": number("ms", "latency at the smallest plan"),
        "largest_ms": number("ms", "latency at the largest plan"),
        "growth": number("×", "latency at the largest plan / at the smallest", kind="fit"),
        "constant_to": count(
            "roots of the largest plan up to which the latency is not shown to exceed that of the smallest",
            "roots",
        ),
        "constant_throughout": flag("whether that is the largest plan measured"),
        **SOURCES,
    },
    build=build,
)
