"""Read rows of the published tables for figures and templates.

Types, units, intervals and directions come from the tables' descriptions, never from a column's name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.tables.inputs import read_rows as plain_rows
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.tables.registry import value_id as published_id

DECODERS = {
    "autoregressive": "autoregressive",
    "transformers_generate": "transformers generate()",
    "transformers_continuous": "continuous batching",
    "vllm": "vLLM",
    "masked_diffusion": "masked diffusion",
    "block_diffusion": "block diffusion",
    "jacobi": "Jacobi",
    "full_passes": "full passes, timing only",
    "flash_flood": "Flash Flood",
    "table_lookup": "table lookup",
}
"""Names of decoders, for arms without a label."""
SEQUENTIAL = ("autoregressive", "transformers_generate", "transformers_continuous", "vllm")


class Row(dict):
    """One row of a published table: columns are items, null is None, and every entry has a value's id."""

    def __init__(self, table: str, content: dict[str, Any]):
        super().__init__(content)
        self.table = table

    def id(self, column: str) -> str:
        """Return the id of the value in `column`."""
        return published_id(self.table, self, column)

    def described(self, name: str) -> Any:
        """Return the description of column `name`, see `evidence.columns.Column`."""
        return TABLES.load(self.table).all_columns[name]

    def unit_of(self, name: str) -> str:
        """Return the unit of column `name`, or the row's where units differ between rows."""
        return self.described(name).unit_in(self)


Tables = dict[str, list[Row]]


@dataclass(frozen=True)
class Measure:
    """A number with its interval; NaN for a missing number."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __bool__(self) -> bool:
        return math.isfinite(self.value)

    @property
    def spread(self) -> tuple[float, float]:
        """Return the lengths of the error bar below and above; zero without an interval."""
        down = self.value - self.low if math.isfinite(self.low) else 0.0
        up = self.high - self.value if math.isfinite(self.high) else 0.0
        return max(down, 0.0), max(up, 0.0)


def load_tables(paths: list[str | Path]) -> Tables:
    """Return tables by name, each read with its declared types; a folder means all tables in it.

    Raises:
        UserError: a path is missing, damaged or not a table of this project.
    """
    return {path.stem: read_rows(path.stem, path) for path in table_files(paths)}


def read_rows(name: str, path: str | Path) -> list[Row]:
    """Return the rows of table `name`, in file order."""
    return [Row(name, content) for content in plain_rows(name, path)]


def table_files(paths: list[str | Path]) -> list[Path]:
    """Return the files to read for `paths`: for a folder, each table's Parquet copy, else its CSV copy.

    Raises:
        UserError: a path is neither a folder nor a table.
    """
    files: dict[str, Path] = {}
    for path in map(Path, paths):
        if path.is_dir():
            copies = [file for end in ("csv", "parquet") for file in path.glob(f"*.{end}")]
            files |= {file.stem: file for file in copies if file.stem in TABLES}
        elif path.suffix in (".csv", ".parquet"):
            files[path.stem] = path
        else:
            raise UserError(path, "is neither a folder nor a table", "name results/tables or files in it")
    return [files[name] for name in sorted(files)]


def need(tables: Tables, name: str) -> list[Row]:
    """Return the rows of table `name`.

    Raises:
        UserError: the table was not given.
    """
    if name not in tables:
        raise UserError(
            f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables"
        )
    return tables[name]


def number(row: Any, column: str) -> float:
    """Return a table entry as a float, NaN if it is empty or absent."""
    value = row.get(column)
    return math.nan if value is None else float(value)


def measure(row: Row, column: str) -> Measure:
    """Return `column` of `row` with its interval."""
    described = row.described(column)
    ends = (math.nan if end is None else number(row, end) for end in (described.low, described.high))
    return Measure(number(row, column), *ends)


def text(row: Any, column: str) -> str:
    """Return a table entry as text, "" if it is missing; whole numbers have no decimal point."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def value_id(table: str, row: Any, column: str) -> str | None:
    """Return the id of this table entry's value; None for a row without a key."""
    key = row.get("key")
    return published_id(table, row, column) if isinstance(key, str) and key else None


def column_words(row: Row, name: str) -> str:
    """Return the label of column `name` of `row` on the page."""
    return row.described(name).label


def decoder_words(row: Any) -> str:
    """Return the name of the row's decoder in words."""
    name = text(row, "decoder")
    return DECODERS.get(name, name.replace("_", " "))


def arm(row: Any) -> str:
    """Return the arm's name in figures and tables: its label in the study, else its decoder in words."""
    return text(row, "label") or decoder_words(row) or text(row, "arm")


def task(row: Any) -> str:
    """Return the workload's name in figures and tables: its label in the study, else its name."""
    return text(row, "task_label") or text(row, "task")


def is_parallel(row: Any) -> bool:
    """Return whether the row's decoder commits several tokens per pass."""
    return text(row, "decoder") not in SEQUENTIAL


def lower_is_better(row: Row, column: str = "quality") -> bool:
    """Return whether `column` of `row` is better when lower, as the column or the row's metric declares."""
    return bool(row.described(column).lower_is_better(row))


def ok(row: Any) -> bool:
    """Return whether the row's cell ran to the end; rows without a status count as such."""
    return text(row, "status") in ("", "ok")


def gate_failed(row: Any) -> bool:
    """Return whether equal quality was judged and not shown."""
    return row.get("gate") is False


def ordered(values: Any, first: tuple[str, ...] = ()) -> list[str]:
    """Return distinct values in order of appearance, those in `first` before the rest."""
    seen = list(dict.fromkeys(str(value) for value in values if value is not None))
    return [v for v in first if v in seen] + [v for v in seen if v not in first]


Variant = tuple[str, str]
"""Decoder, and the study's name for its settings."""


def variant_of(row: Any) -> Variant:
    """Return the row's decoder and fixed settings; steps and shape vary within a variant."""
    return text(row, "decoder"), text(row, "arm")


def variants(rows: list[Any]) -> dict[Variant, tuple[str, int]]:
    """Return each variant's name in words and its number within its decoder, sequential decoders first.

    If variants share a name, all but the first (the reference, else the one with the shortest name) add the study's
    name.
    """
    first = {variant_of(row): row for row in reversed(rows)}
    references = {variant_of(row) for row in rows if text(row, "role") == "reference"}
    order = sorted(
        first,
        key=lambda v: (
            v[0] != "autoregressive",
            is_parallel(first[v]),
            v not in references,
            len(v[1]),
            v[1],
        ),
    )
    named: dict[Variant, tuple[str, int]] = {}
    for variant in order:
        index = sum(1 for decoder, _ in named if decoder == variant[0])
        words = arm(first[variant])
        taken = any(words == other for other, _ in named.values())
        named[variant] = (f"{words}, {variant[1]}" if taken else words, index)
    return named


@dataclass(frozen=True)
class Head:
    """Head of a column in a table on the page. unit: empty if it differs between rows (`varies`). kind: "word", "flag"
    or "number"."""

    name: str
    label: str
    unit: str
    kind: str
    description: str
    varies: bool


def columns_of(table: str, names: list[str]) -> list[Head]:
    """Return heads of the named columns of `table`, from its description."""
    kinds = {"string": "word", "boolean": "flag"}
    described = TABLES.load(table).all_columns
    return [
        Head(
            name,
            c.label or name,
            "" if c.unit == "fraction" or c.unit.startswith("@") else c.unit,
            kinds.get(c.dtype, "number"),
            c.description,
            c.unit.startswith("@"),
        )
        for name, c in ((name, described[name]) for name in names if name in described)
    ]


def reading_order(rows: list[Row]) -> list[Row]:
    """Return rows in the page's order: sequential arms before parallel ones, arm by arm from small to large.

    Rows that are not cells keep their place.
    """
    return sorted(rows, key=_place)


def groups_of(rows: list[Row], column: str, order: list[str]) -> list[tuple[str, list[Row]]]:
    """Return rows by their entry in `column`: names in `order` first, the others as they appear."""
    names = dict.fromkeys(row[column] for row in rows)
    ranked = [name for name in order if name in names] + [name for name in names if name not in order]
    return [(name, [row for row in rows if row[column] == name]) for name in ranked]


def _place(row: Row) -> tuple:
    if "arm" not in row or "batch" not in row or "new_tokens" not in row:
        return ()
    decoder, name = row.get("decoder"), row["arm"] or ""
    parallel = decoder is not None and decoder not in SEQUENTIAL
    size = (row["new_tokens"] or 0, row["batch"] or 0, row.get("steps") or 0)
    return (parallel, decoder != "autoregressive", len(name), name, *size)
