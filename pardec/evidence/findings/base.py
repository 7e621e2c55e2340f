"""What a finding is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Row = dict[str, Any]
Rows = dict[str, list[Row]]


@dataclass(frozen=True)
class Pick:
    """A number: the cell `column` of the row with key `keys[0]`, or `value` computed from the rows in `keys`.

    `low`, `high`, `unit`, `n` are for computed numbers; a picked cell has its table's own.
    """

    id: str
    table: str
    keys: tuple[str, ...]
    column: str = ""
    computed: bool = False
    value: float | None = None
    low: float | None = None
    high: float | None = None
    unit: str = ""
    n: int | None = None
    description: str | None = None


@dataclass(frozen=True)
class Word:
    """A verdict in words, with the ids of the values it rests on."""

    id: str
    word: str
    evidence: tuple[str, ...]


Found = Pick | Word


@dataclass(frozen=True)
class Finding:
    """needs: names of tables. find: their rows -> numbers and words; what was not measured is left out."""

    name: str
    needs: tuple[str, ...]
    find: Callable[[Rows], list[Found]]


def computed(
    ident: str, table: str, rows: list[Row], value: float | None, description: str, **more: Any
) -> Pick:
    """A number computed from rows of one table."""
    keys = tuple(row["key"] for row in rows)
    return Pick(ident, table, keys, computed=True, value=value, description=description, **more)


def ident(*parts: Any) -> str:
    """A finding's id: finding/part/part, in lower case."""
    from pardec.evidence.tables.base import slug

    return "/".join(["finding", *(slug(str(part)) for part in parts)])
