"""By task: up to which batch parallel decoding stays ahead, and how its lead changes."""

from __future__ import annotations

from collections import defaultdict

from pardec.evidence.findings.base import Finding, Found, Pick, Row, Rows, Word, ident
from pardec.evidence.tables.scaling import series_name
from pardec.evidence.tables.series import compares_kinds


def find(tables: Rows) -> list[Found]:
    found: list[Found] = []
    for task, rows in _series(tables["batch"]).items():
        found += _one(task, sorted(rows, key=lambda row: row["batch"]))
    return found


def _series(rows: list[Row]) -> dict[str, list[Row]]:
    """By task: the series that is fastest at the smallest batch, of those at equal quality if any."""
    series: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if compares_kinds(row) and row["ratio"] is not None:
            series[row["task"], series_name(row["cell"], "batch")].append(row)
    chosen: dict[str, list[Row]] = {}
    for (task, _), group in series.items():
        if task not in chosen or _merit(group) > _merit(chosen[task]):
            chosen[task] = group
    return chosen


def _merit(group: list[Row]) -> tuple[bool, float]:
    first = min(group, key=lambda row: row["batch"])
    return first["gate"] is True, first["ratio"]


def _one(task: str, rows: list[Row]) -> list[Found]:
    found: list[Found] = []
    for name, row in (("smallest", rows[0]), ("largest", rows[-1])):
        for column in ("batch", "ratio", "throughput_ratio", "tokens_per_s", "steps", "quality"):
            if row[column] is not None:
                found.append(Pick(ident("batch", task, name, column), "batch", (row["key"],), column))
    faster = [row for row in rows if row["speed"] == "faster"]
    slower = [row for row in rows if row["speed"] == "slower"]
    if faster:
        found.append(Pick(ident("batch", task, "last_faster"), "batch", (faster[-1]["key"],), "batch"))
    if slower:
        found.append(Pick(ident("batch", task, "first_slower"), "batch", (slower[0]["key"],), "batch"))
    evidence = tuple(ident("batch", task, end, "ratio") for end in ("smallest", "largest"))
    return [*found, Word(ident("batch", task, "lead"), _lead(rows[0], rows[-1]), evidence)]


def _lead(first: Row, last: Row) -> str:
    """How the ratio changes from the smallest to the largest batch, by whether the two intervals part."""
    if first["ratio_low"] is None or last["ratio_low"] is None or first is last:
        return "not judged"
    if last["ratio_low"] > first["ratio_high"]:
        return "grows"
    return "shrinks" if last["ratio_high"] < first["ratio_low"] else "no change shown"


FINDING = Finding("batch", ("batch",), find)
