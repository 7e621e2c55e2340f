"""Table `growth`: how time, throughput, memory and passes grow with a size, over cells that differ in it alone."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import SOURCES, columns
from pardec.evidence.comparison import equal_within
from pardec.evidence.tables.base import Row, Table, grouped
from pardec.evidence.tables.cell_columns import CELL, taken
from pardec.evidence.tables.inputs import Inputs, joined
from pardec.evidence.tables.pairs import interval
from pardec.study import paths

statistics = lazy("pardec.evidence.statistics")

MEMORY = ("peak_allocated_mb", "working_mb")
OVER_BATCH = ("tokens_per_s", "latency_ms", *MEMORY, "ratio")
OVER_LENGTH = ("latency_ms", "tokens_per_s", *MEMORY, "cache_mb", "logits_mb", "ratio")
AXES = {
    ("batch", "batch"): OVER_BATCH,
    ("length", "batch"): OVER_BATCH,
    ("length", "new_tokens"): OVER_LENGTH,
    ("length", "prompt_tokens"): OVER_LENGTH,
    ("grid", "new_tokens"): ("nfe", "latency_ms", "pass_ms"),
    ("flood", "roots"): ("latency_ms",),
}
"""Growing quantities, by kind of experiment and size."""
WORDS = {"batch": "batch", "new_tokens": "new", "prompt_tokens": "prompt"}
"""Sizes by the words of a cell's id."""
UNITS = {"batch": "prompts", "new_tokens": "tokens", "prompt_tokens": "tokens", "roots": "roots"}
SHARED = """
    experiment experiment_kind task task_label model arm label decoder steps block batch prompt_tokens new_tokens
    candidates
"""
"""Columns that are empty where the cells of a series differ."""
ALL = "all"
SAME, FEWEST = "same settings", "fewest that are right"
"""Which cells form a series: those of the same settings, or at each size the right one of fewest passes."""
WORKLOAD = ("model", "task")
"""Columns that differ between two workloads of one size."""


def build(inputs: Inputs) -> list[Row]:
    """Return one row per series and quantity: how the quantity grows along its axis."""
    rows = []
    for (kind, against), quantities in AXES.items():
        cells = [row for row in inputs.rows(kind) if row["status"] == "ok" and row[against] is not None]
        if kind == "grid":
            cells = [row | _pass(row) for row in cells if row["batch"] == 1 and row["nfe"]]
        for what, series in _series(kind, against, cells):
            for quantity in quantities:
                rows += _grown(what, quantity, [row for row in series if (row[quantity] or 0) > 0])
    return rows


def _pass(row: Row) -> Row:
    """Return the time of one pass with its interval."""
    ends = {"pass_ms": "latency_ms", "pass_low": "latency_low", "pass_high": "latency_high"}
    return {name: None if row[of] is None else row[of] / row["nfe"] for name, of in ends.items()}


def _series(kind: str, against: str, cells: list[Row]) -> Iterator[tuple[Row, list[Row]]]:
    """Yield (description, cells in order of size) of each series of at least two sizes, one cell for each."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in cells:
        name = row["series"] if kind == "flood" else series_name(row["cell"], against)
        if kind == "grid":  # Each size is a task of its own.
            name = "/".join(
                filter(None, (row["arm"], paths.without(row["cell"].split("/")[-1], "new", "batch")))
            )
        if name:
            groups[row["experiment"], SAME, name].append(row)
        if kind == "grid" and row["right"]:
            groups[row["experiment"], FEWEST, f"{row['arm']}/{FEWEST}"].append(row)
    for (_, chosen, name), mixed in groups.items():
        for workload, of_one in _unmixed(mixed, against).items():
            sizes = [_one(chosen, rows) for _, rows in sorted(grouped(of_one, against).items())]
            if len(sizes) > 1:
                named = {"series": "/".join((name, *workload)), "chosen": chosen, "against": against}
                named |= {"x_unit": UNITS[against]} | _shared(sizes)
                yield named | ({"all_right": all(r["right"] for r in sizes)} if kind == "grid" else {}), sizes


def _unmixed(rows: list[Row], against: str) -> dict[tuple, list[Row]]:
    """Return the rows in groups without two workloads of one size, by what tells the groups apart: nothing, else the
    models, else models and tasks."""
    for apart in ((), ("model",)):
        groups = grouped(rows, *apart)
        if all(
            len(grouped(same, *WORKLOAD)) == 1
            for group in groups.values()
            for same in grouped(group, against).values()
        ):
            return groups
    return grouped(rows, *WORKLOAD)


def _one(chosen: str, rows: list[Row]) -> Row:
    """Return the cell that a series has of one size."""
    return min(rows, key=lambda row: row["nfe"]) if chosen == FEWEST else rows[0]


def _shared(rows: list[Row]) -> Row:
    """Return the columns in which all rows agree."""
    same = [name for name in SHARED.split() if name in rows[0] and len({row.get(name) for row in rows}) == 1]
    return {name: rows[0][name] for name in same}


def _grown(what: Row, quantity: str, rows: list[Row]) -> list[Row]:
    """Return the growth over all sizes, and between each two neighbours; none for fewer than two sizes."""
    x = [row[what["against"]] for row in rows]
    ends = [_ends(quantity, row) for row in rows]
    y, low, high = ([math.nan if end[k] is None else end[k] for end in ends] for k in range(3))
    fit = statistics.power_law(x, y, low, high)
    if fit is None:
        return []
    what = {
        **what,
        "quantity": quantity,
        **dict(zip(("y_unit", "slope_unit"), _units(quantity, what), strict=True)),
    }
    constant = _constant_to(rows, x, ends)
    whole = {
        **interval("exponent", fit.exponent),
        **interval("slope", statistics.linear_slope(x, y)),
        "misfit": fit.misfit,
        "constant_to": constant,
        "constant_throughout": constant == x[-1],
    }
    parts = [{**what, "span": ALL, **_between(rows, x, y), **whole}]
    for k, local in enumerate(fit.local if len(rows) > 2 else ()):
        pair = slice(k, k + 2)
        slope = {"slope": (y[k + 1] - y[k]) / (x[k + 1] - x[k]), **interval("exponent", local)}
        span = f"{x[k]} to {x[k + 1]}"
        parts.append({**what, "span": span, **_between(rows[pair], x[pair], y[pair]), **slope})
    return parts


def _between(rows: list[Row], x: list[int], y: list[float]) -> Row:
    ends = {"from_x": x[0], "to_x": x[-1], "smallest": y[0], "largest": y[-1], "growth": y[-1] / y[0]}
    return {"n": len(x), **ends, **joined(rows)}


def _ends(quantity: str, row: Row) -> tuple[Any, Any, Any]:
    """Return a quantity with its interval; what is counted has none."""
    if quantity == "pass_ms":
        return row["pass_ms"], row["pass_low"], row["pass_high"]
    low, high = CELL[quantity].low, CELL[quantity].high
    return row[quantity], *((row[low], row[high]) if low and high else (None, None))


def _units(quantity: str, what: Row) -> tuple[str, str]:
    """Return the units of a quantity and of its slope."""
    unit = CELL["latency_ms" if quantity == "pass_ms" else quantity].unit
    return unit, f"{unit}/{what['x_unit'].removesuffix('s')}"


def _constant_to(rows: list[Row], x: list[int], ends: list[tuple[Any, Any, Any]]) -> int:
    """Return the largest size up to which a quantity is not shown to exceed that of the smallest size.

    Its interval must overlap the smallest's, widened by `comparison.equal_within`. A value without interval is exact.
    """
    value, _, high = ends[0]
    ceiling = (value if high is None else high) * (1 + equal_within(rows[0]["noise_floor"]))
    above = [(value if low is None else low) > ceiling for value, low, _ in ends]
    return x[above.index(True) - 1] if True in above else x[-1]


def series_name(cell: str, against: str) -> str:
    """Return a cell's id without its experiment and the word that varies."""
    *place, words = cell.split("/")[1:]
    return "/".join([*place, paths.without(words, WORDS.get(against, against))])


GROWTH = Table(
    name="growth",
    description="Exponents e of y ~ x^e over cells that differ only in the size x: over all sizes by least squares on "
    "logarithms, and between each two neighbouring sizes.",
    needs=("batch", "length", "grid", "flood"),
    key=("experiment", "series", "quantity", "against", "span"),
    columns=taken(SHARED.replace("candidates", ""))
    | columns("""
series      text! | what its cells have in common; with the model, or model and task, where workloads share a size
chosen      text! | which cells form it: those of the same settings, or at each size the right one of fewest passes
quantity    text! | y: a column of that experiment's table; pass_ms is latency / passes
against     text! | x: batch, new_tokens, prompt_tokens or roots
span        text! | all for all sizes together, else the two neighbouring sizes
candidates  count candidates | candidates per condition, K, of a flood
all_right   flag | whether the outputs are right at every size of a series of tables
exponent    interval kind=fit | exponent over the sizes of the row; its interval follows from those of the sizes
misfit      number kind=fit | largest relative distance of a size from the power fit: where it exceeds the
    sizes' own precision, no single exponent describes the growth
slope       interval @slope_unit kind=fit | y by x, by least squares; no interval from two sizes
slope_unit  text | unit of that
n           count sizes | sizes
from_x      count @x_unit | smallest size
to_x        count @x_unit | largest size
x_unit      text | unit of the size
smallest    number @y_unit kind=fit | y at the smallest size
largest     number @y_unit kind=fit | y at the largest size
y_unit      text | unit of y
growth      number × kind=fit | y at the largest size / at the smallest
constant_to count @x_unit | largest size up to which y is not shown to exceed that of the smallest
constant_throughout  flag | whether that is the largest size measured
""")
    | SOURCES,
    build=build,
)
