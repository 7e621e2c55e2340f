"""How memory grows with the whole sequence: prompt and output together, which is what a cache holds."""

from __future__ import annotations

from collections import defaultdict

from pardec.common.lazy import lazy
from pardec.evidence.findings.base import Finding, Found, Row, Rows, computed, ident

statistics = lazy("pardec.evidence.statistics")

PREFIX = "finding/sequence"
COLUMNS = ("cache_mb", "working_mb")


def find(tables: Rows) -> list[Found]:
    """One exponent an arm and column, at its smallest batch; an arm that holds none (no cache) is left out."""
    found: list[Found] = []
    for (task, arm), rows in _arms(tables["length"]).items():
        for column in COLUMNS:
            kept = [row for row in rows if (row[column] or 0) > 0]
            fit = statistics.loglog_slope([_tokens(row) for row in kept], [row[column] for row in kept])
            if fit is not None:
                told = f"exponent e of {column} ~ tokens^e over the tokens of prompt and output together"
                name = ident("sequence", column, task, arm)
                found.append(
                    computed(name, "length", kept, fit.value, told, low=fit.low, high=fit.high, n=fit.n)
                )
    return found


def _tokens(row: Row) -> float:
    return (row["prompt_tokens"] or row["prompt_mean_tokens"] or 0) + row["new_tokens"]


def _arms(rows: list[Row]) -> dict[tuple[str, str], list[Row]]:
    """Finished cells by task and arm: of each arm those at its smallest batch and fewest steps."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in rows:
        if row["status"] == "ok":
            groups[row["task"], row["arm"] or row["decoder"]].append(row)
    least = {name: min(map(_shape, group)) for name, group in groups.items()}
    return {name: [row for row in group if _shape(row) == least[name]] for name, group in groups.items()}


def _shape(row: Row) -> tuple[int, int, int, str]:
    return row["batch"], row["steps"] or 0, row["prompt_tokens"] or 0, row["settings"] or ""


FINDING = Finding("sequence", ("length",), find)
