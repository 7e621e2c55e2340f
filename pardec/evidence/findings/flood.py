"""What the flood saves against each meaning of sequential, and more roots in parallel against fewer one by one."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Row, Rows, computed, ident

MANY, FEW = 200, 50
"""Roots in parallel, and roots one by one, whose times a seed compares."""


def find(tables: Rows) -> list[Found]:
    """Times faster, by sequential arm paired with the flood; ratios of latencies, by candidates.

    The latter two were measured in separate processes, so their interval is the widest that both intervals allow.
    """
    done = [row for row in tables["flood"] if row["status"] == "ok"]
    found: list[Found] = []
    for row in done:
        column = against_the_flood(row)
        if column and row[column] is not None and row[f"{column}_low"]:
            told = f"times as fast as {row['arm']} the flood is, from the same pairs: 1 / {column}"
            low, high = 1 / row[f"{column}_high"], 1 / row[f"{column}_low"]
            name = times_faster(row)
            found.append(
                computed(
                    name,
                    "flood",
                    [row],
                    1 / row[column],
                    told,
                    low=low,
                    high=high,
                    unit="×",
                    n=row["n_pairs"],
                )
            )
    few = next((row for row in done if _is(row, "by_root", FEW) and row["candidates"] == 1), None)
    for row in done:
        if few is not None and _is(row, "parallel", MANY):
            told = f"latency of {MANY} roots in parallel / of {FEW} root by root, from separate processes"
            low, high = row["latency_low"] / few["latency_high"], row["latency_high"] / few["latency_low"]
            value = row["latency_ms"] / few["latency_ms"]
            name = more_in_less(row["candidates"])
            found.append(computed(name, "flood", [row, few], value, told, low=low, high=high, unit="×"))
    return found


def against_the_flood(row: Row) -> str | None:
    """The ratio that holds a sequential cell against the flood it is paired with; None for all other cells.

    Characters one by one fill a canvas of their own, so there it is the ratio of rates.
    """
    if row["reference_order"] != "parallel" or row["plan"] == "manager":
        return None
    if row["decoder"] == "autoregressive":
        return "throughput_ratio"
    return "ratio" if row["order"] in ("by_root", "by_candidate") else None


def times_faster(row: Row) -> str:
    return ident("flood", "times-faster", row["key"])


def more_in_less(candidates: int) -> str:
    return ident("flood", "more-in-less", f"k={candidates}")


def _is(row: Row, order: str, roots: int) -> bool:
    """Whether it is the plain cell of that order and size: given plan, passes of any size, with an interval."""
    plain = row["decoder"] == "flash_flood" and row["plan"] == "given" and row["chunk_batch"] is None
    return plain and row["order"] == order and row["roots"] == roots and bool(row["latency_low"])


FINDING = Finding("flood", ("flood",), find)
