"""Of batches: does parallel decoding gain more from them than autoregression does?"""

from __future__ import annotations

from collections import defaultdict

from pardec.evidence.claims.base import (
    CONTRADICTED,
    REPRODUCED,
    UNDECIDED,
    Judge,
    Judgement,
    Part,
    Piece,
    Values,
    cell,
    overall,
    tally,
)
from pardec.evidence.findings.base import Row, Rows
from pardec.evidence.tables.scaling import series_name
from pardec.evidence.tables.series import compares_kinds

PRECISION = "precision: the intervals at the smallest and the largest batch meet"
GROWS = "the throughput ratio, diffusion to autoregression, grows with batch on"
SHRINKS = "the throughput ratio, diffusion to autoregression, shrinks with batch on"


def judge(tables: Rows, values: Values) -> Judgement:
    """The throughput ratio diffusion / autoregression grows with batch: by series (a task at some number of steps).

    The ratio is paired in one process at each batch size; useful tokens count.

    reproduced (a series): at the largest batch the ratio's low end lies above its high end at the smallest batch by
        more than the noise floor, as a factor.
    contradicted (a series): at the largest batch the high end lies below the low end at the smallest by more than that.
    undecided (a series): the intervals meet, or there is no noise floor.
    The claim is contradicted by one series that shrinks, and else reproduced by one that grows.
    """
    scaling = {(row["series"], row["quantity"]): row for row in tables.get("scaling", ()) if _of_batch(row)}
    parts = [_series(name, rows, scaling) for name, rows in _groups(tables["batch"]).items()]
    verdict, reason = overall(parts, PRECISION)
    said = tally(parts, GROWS, SHRINKS, "no change is shown on")
    return Judgement(verdict, said, reason, tuple(parts))


def _of_batch(row: Row) -> bool:
    return row["experiment"] == "batch" and row["against"] == "batch"


def _groups(rows: list[Row]) -> dict[str, list[Row]]:
    """Cells that differ in batch alone, by a readable name, from small to large; two or more."""
    series: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if compares_kinds(row) and row["throughput_ratio_low"] is not None:
            series[series_name(row["cell"], "batch")].append(row)
    found = {}
    for group in sorted(series.values(), key=lambda group: (group[0]["task"], group[0]["steps"] or 0)):
        group.sort(key=lambda row: row["batch"])
        steps = group[0]["steps"]
        words = group[0]["task"] + ("" if steps is None else f" at steps={steps}")
        if len(group) > 1:
            found[words] = group
    return found


def _series(name: str, rows: list[Row], scaling: dict[tuple, Row]) -> Part:
    first, last = rows[0], rows[-1]
    floor, verdict = last["noise_floor"], UNDECIDED
    if floor is not None:
        if last["throughput_ratio_low"] / first["throughput_ratio_high"] > 1 + floor:
            verdict = REPRODUCED
        elif last["throughput_ratio_high"] / first["throughput_ratio_low"] < 1 - floor:
            verdict = CONTRADICTED
    said: list[Piece] = ["the throughput ratio goes"]
    for word, row in (("from", first), ("to", last)):
        said += [
            f" {word} ",
            cell("batch", row, "throughput_ratio"),
            " at batch ",
            cell("batch", row, "batch"),
        ]
    said += [*_slopes(first, scaling), *_meeting(rows), "."]
    short = (
        cell("batch", first, "throughput_ratio", False),
        " to ",
        cell("batch", last, "throughput_ratio", False),
    )
    return Part(name, verdict, tuple(said), short)


def _slopes(row: Row, scaling: dict[tuple, Row]) -> list[Piece]:
    own = scaling.get((series_name(row["cell"], "batch"), "tokens_per_s"))
    other = (
        scaling.get((series_name(row["reference"], "batch"), "tokens_per_s")) if row["reference"] else None
    )
    if own is None or other is None:
        return []
    return [
        "; throughput grows with batch to the power ",
        cell("scaling", own, "exponent"),
        ", autoregressively ",
        cell("scaling", other, "exponent"),
    ]


def _meeting(rows: list[Row]) -> list[Piece]:
    """Where the order of the two turns: the crossover batch, or none."""
    first = rows[0]["verdict"]
    turned = {"faster": "slower", "slower": "faster"}.get(first)
    at = next((row for row in rows if turned is not None and row["verdict"] == turned), None)
    if at is None:
        return ["; no batch tried turns the order"]
    words = "falls behind" if turned == "slower" else "moves ahead"
    return [f"; diffusion {words} at batch ", cell("batch", at, "batch")]


JUDGE = Judge(("batch",), judge)
