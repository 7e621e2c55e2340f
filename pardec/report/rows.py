"""Rows of the published tables as templates read them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from pardec.report.frames import SEQUENTIAL, value_id

if TYPE_CHECKING:
    from pandas import DataFrame

TRUTH = {"True": True, "False": False, "true": True, "false": False}


class Row(dict):
    """One row: a column is an item, null is None. It knows its table, so each cell can name its value."""

    def __init__(self, table: str, content: dict[str, Any]):
        super().__init__({name: _plain(value) for name, value in content.items()})
        self.table = table

    def id(self, column: str) -> str:
        """The id of the value in `column`."""
        return value_id(self.table, self, column) or f"{self.table}//{column}"


def _plain(value: Any) -> Any:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if hasattr(value, "item"):
        value = value.item()
    return TRUTH.get(value, value) if isinstance(value, str) else value


def rows_of(tables: dict[str, DataFrame], name: str) -> list[Row]:
    """Rows of table `name` in reading order; none where the study has no such table."""
    if name not in tables:
        return []
    return sorted((Row(name, content) for content in tables[name].to_dict("records")), key=_reading_order)


def groups_of(rows: list[Row], column: str, order: list[str]) -> list[tuple[str, list[Row]]]:
    """Rows by what `column` says: names in `order` first, the rest as they appear."""
    names = dict.fromkeys(row[column] for row in rows)
    ranked = [name for name in order if name in names] + [name for name in names if name not in order]
    return [(name, [row for row in rows if row[column] == name]) for name in ranked]


def _reading_order(row: Row) -> tuple:
    """Sequential arms before parallel ones, then arm by arm from small to large; rows that are no cells stay
    put."""
    if "arm" not in row or "batch" not in row or "new_tokens" not in row:
        return ()
    decoder, arm = row.get("decoder"), row["arm"] or ""
    parallel = decoder is not None and decoder not in SEQUENTIAL
    return (
        parallel,
        decoder != "autoregressive",
        len(arm),
        arm,
        row["new_tokens"] or 0,
        row["batch"] or 0,
        row.get("steps") or 0,
    )
