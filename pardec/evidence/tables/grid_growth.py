"""Table `grid_growth`: growth of passes and time with table size: exponents, slopes, and where O(1) ends."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from pardec.evidence.columns import SOURCES, count, flag, measured, number, text
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.growth import EXPONENTS, constant_to, grown
from pardec.evidence.tables.inputs import Inputs
from pardec.study import paths

QUANTITIES = {"nfe": "slope_passes", "latency_ms": "slope_ms", "pass_ms": "slope_ms"}
"""Growing quantities and the columns of their slopes; pass_ms is the time of one pass."""
FEWEST = "fewest that are right"
"""The series of a decoder's quickest right cell at each size, whatever its settings."""


def build(inputs: Inputs) -> list[dict[str, Any]]:
    cells = [row for row in inputs.rows("grid") if row["status"] == "ok" and row["batch"] == 1 and row["nfe"]]
    for row in cells:
        row["pass_ms"] = row["latency_ms"] / row["nfe"]
    grown_rows = []
    for experiment in dict.fromkeys(row["experiment"] for row in cells):
        here = [row for row in cells if row["experiment"] == experiment]
        for (arm, series), rows in {**_by_settings(here), **_fewest(here)}.items():
            rows = sorted(rows, key=lambda row: row["new_tokens"])
            if len({row["new_tokens"] for row in rows}) > 1:
                grown_rows += [_growth(arm, series, quantity, rows) for quantity in QUANTITIES]
    return grown_rows


def _by_settings(cells: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Returns cells by arm and settings."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in cells:
        *_, words = row["cell"].split("/")
        groups[row["arm"], paths.without(words, "new", "batch")].append(row)
    return groups


def _fewest(cells: list[dict[str, Any]]) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Returns by arm, at each size, the right cell with the fewest passes."""
    best: dict[tuple[str, str], dict[int, dict[str, Any]]] = defaultdict(dict)
    for row in cells:
        if row["right"]:
            here = best[row["arm"], FEWEST]
            known = here.get(row["new_tokens"])
            if known is None or row["nfe"] < known["nfe"]:
                here[row["new_tokens"]] = row
    return {name: list(rows.values()) for name, rows in best.items()}


def _growth(arm: str, series: str, quantity: str, rows: list[dict[str, Any]]) -> dict[str, Any]:
    x, y = [row["new_tokens"] for row in rows], [row[quantity] for row in rows]
    constant = constant_to(rows, "new_tokens", lambda row, end: _end(row, quantity, end))
    return {
        "experiment": rows[0]["experiment"],
        "arm": arm,
        "series": series or None,
        "quantity": quantity,
        "decoder": rows[0]["decoder"],
        "model": rows[0]["model"],
        "all_right": all(row["right"] for row in rows),
        **grown(x, y, [_ends(row, quantity) for row in rows], QUANTITIES[quantity]),
        "from_tokens": x[0],
        "to_tokens": x[-1],
        "smallest": y[0],
        "largest": y[-1],
        "constant_to": constant,
        "constant_side": next((row["side"] for row in rows if row["new_tokens"] == constant), None),
        "constant_throughout": constant == x[-1],
        **{name: " ".join(row[name] for row in rows) for name in SOURCES},
    }


def _ends(row: dict[str, Any], quantity: str) -> tuple[float | None, float | None]:
    """Returns the interval of a quantity; passes are counted and have none."""
    if quantity == "nfe" or row["latency_low"] is None:
        return None, None
    per = row["nfe"] if quantity == "pass_ms" else 1
    return row["latency_low"] / per, row["latency_high"] / per


def _end(row: dict[str, Any], quantity: str, end: str) -> float:
    """Returns one end of a quantity's interval; passes are counted and have none."""
    if quantity == "nfe":
        return row["nfe"]
    latency = row[f"latency_{end}"] if row[f"latency_{end}"] is not None else row["latency_ms"]
    return latency if quantity == "latency_ms" else latency / row["nfe"]


TABLE = Table(
    name="grid_growth",
    description="Growth of passes, time and time a pass with the tokens of a table: y ~ tokens^exponent by least "
    "squares on logarithms, y ~ slope x tokens by least squares, over the sizes of one decoder and its settings.",
    needs=("grid",),
    key=("experiment", "arm", "series", "quantity"),
    columns={
        "experiment": text("which experiment, of kind grid", nullable=False),
        "arm": text("the study's name for decoder and settings", nullable=False),
        "series": text(
            f"settings that are swept, or '{FEWEST}': at each size the right cell of fewest passes"
        ),
        "quantity": text("nfe (passes), latency_ms or pass_ms (latency / passes)", nullable=False),
        "decoder": text("how tokens are written", nullable=False),
        "model": text("name of the model", nullable=False),
        "all_right": flag("whether the tables are right at every size of the series"),
        **EXPONENTS,
        **measured("slope_ms", "ms/token", "slope of a time; no interval from two sizes"),
        **measured("slope_passes", "passes/token", "slope of the passes; no interval from two sizes"),
        "n": count("sizes in the fit", "sizes"),
        "from_tokens": count("tokens of the smallest size", "tokens"),
        "to_tokens": count("tokens of the largest size", "tokens"),
        "smallest": number("", "the quantity at the smallest size", kind="fit"),
        "largest": number("", "the quantity at the largest size", kind="fit"),
        "growth": number("×", "the quantity at the largest size / at the smallest", kind="fit"),
        "constant_to": count(
            "tokens of the largest size up to which the quantity is not shown to exceed that of the smallest",
            "tokens",
        ),
        "constant_side": count("side of the square of that size", "cells"),
        "constant_throughout": flag("whether that is the largest size measured"),
        **SOURCES,
    },
    build=build,
)
