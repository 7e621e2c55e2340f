"""Rows of the published tables, as figures and templates read them.

Types, units, intervals and directions come from the tables' own descriptions; nothing is guessed from a name.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.tables.files import rows_of as plain_rows
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.tables.registry import value_id as published_id

DECODERS = {
    "autoregressive": "autoregressive",
    "transformers_generate": "transformers generate()",
    "transformers_continuous": "continuous batching",
    "vllm": "vLLM",
    "masked_diffusion": "masked diffusion",
    "jacobi": "Jacobi",
    "full_passes": "full passes, timing only",
    "flash_flood": "Flash Flood",
    "table_lookup": "table lookup",
}
"""Words for decoders, where an arm has no label of its own."""
SEQUENTIAL = ("autoregressive", "transformers_generate", "transformers_continuous", "vllm")


class Row(dict):
    """One row of a published table: a column is an item, null is None. Each cell can name its value."""

    def __init__(self, table: str, content: dict[str, Any]):
        super().__init__(content)
        self.table = table

    def id(self, column: str) -> str:
        """The id of the value in `column`."""
        return published_id(self.table, self.get("key") or "", column)

    def described(self, name: str) -> Any:
        """The description of column `name`, see `evidence.columns.Column`."""
        return TABLES.load(self.table).all_columns[name]

    def unit_of(self, name: str) -> str:
        """The unit of column `name`, or the row's own where rows differ."""
        return self.described(name).unit or self.get("unit") or ""


Tables = dict[str, list[Row]]


@dataclass(frozen=True)
class Measure:
    """A number with its interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __bool__(self) -> bool:
        return math.isfinite(self.value)

    @property
    def spread(self) -> tuple[float, float]:
        """Lengths of the error bar below and above; zero where the interval is unknown."""
        down = self.value - self.low if math.isfinite(self.low) else 0.0
        up = self.high - self.value if math.isfinite(self.high) else 0.0
        return max(down, 0.0), max(up, 0.0)


def load_tables(paths: list[str | Path]) -> Tables:
    """Tables by name, each read with its own types; a folder means all its tables.

    Raises:
        UserError: a path is missing, damaged or no table of this project.
    """
    return {path.stem: read_rows(path.stem, path) for path in table_files(paths)}


def read_rows(name: str, path: str | Path) -> list[Row]:
    """Rows of table `name`, in file order."""
    return [Row(name, content) for content in plain_rows(TABLES.load(name).read(path))]


def table_files(paths: list[str | Path]) -> list[Path]:
    """The files to read for `paths`: of a folder's tables the Parquet copy, else the CSV one.

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
    """Rows of table `name`.

    Raises:
        UserError: it was not given.
    """
    if name not in tables:
        raise UserError(
            f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables"
        )
    return tables[name]


def number(row: Any, column: str) -> float:
    """A cell as a float, NaN where it is empty or absent."""
    value = row.get(column)
    return math.nan if value is None else float(value)


def measure(row: Row, column: str) -> Measure:
    """`column` of `row` with its interval."""
    described = row.described(column)
    ends = (math.nan if end is None else number(row, end) for end in (described.low, described.high))
    return Measure(number(row, column), *ends)


def text(row: Any, column: str) -> str:
    """A cell as text, empty where it is missing; whole numbers without a decimal point."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def value_id(table: str, row: Any, column: str) -> str | None:
    """The id under which this cell of a table is published; None for a row without a key."""
    key = row.get("key")
    return published_id(table, key, column) if isinstance(key, str) and key else None


def column_words(row: Row, name: str) -> str:
    """How the page calls column `name` of `row`."""
    return row.described(name).label


def decoder_words(row: Any) -> str:
    """Words for the row's decoder."""
    name = text(row, "decoder")
    return DECODERS.get(name, name.replace("_", " "))


def arm(row: Any) -> str:
    """How figures and tables call what decoded: the arm's label in the study, else its decoder in words."""
    return text(row, "label") or decoder_words(row) or text(row, "arm")


def task(row: Any) -> str:
    """How figures and tables call the workload: its label in the study, else its name."""
    return text(row, "task_label") or text(row, "task")


def is_parallel(row: Any) -> bool:
    """Whether the row's decoder commits several tokens per pass."""
    return text(row, "decoder") not in SEQUENTIAL


def lower_is_better(row: Row, column: str = "quality") -> bool:
    """Whether `column` of `row` is better when lower, as the column or the row's metric declares."""
    return bool(row.described(column).lower_is_better(row))


def ok(row: Any) -> bool:
    return text(row, "status") in ("", "ok")


def gate_failed(row: Any) -> bool:
    """Whether this speed comes with a quality that was judged not good enough."""
    return row.get("gate") is False


def ordered(values: Any, first: tuple[str, ...] = ()) -> list[str]:
    """Distinct values in order of appearance, those named in `first` before the rest."""
    seen = list(dict.fromkeys(str(value) for value in values if value is not None))
    return [v for v in first if v in seen] + [v for v in seen if v not in first]


Variant = tuple[str, str]
"""A decoder and the study's name for its settings."""


def variant_of(row: Any) -> Variant:
    """Which decoder with which fixed settings; steps and shape are what varies within a variant."""
    return text(row, "decoder"), text(row, "arm")


def variants(rows: list[Any]) -> dict[Variant, tuple[str, int]]:
    """Each variant's words and its number within its decoder, sequential ones first.

    Where two variants have the same words, all but the first (the reference, else the one with the shortest name) add
    the study's name.
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
    """How a table on the page heads a column. kind: "word", "flag" or "number"."""

    name: str
    label: str
    unit: str
    kind: str
    description: str


def columns_of(table: str, names: list[str]) -> list[Head]:
    """Heads of the named columns of `table`, as the table describes them."""
    kinds = {"string": "word", "boolean": "flag"}
    described = TABLES.load(table).all_columns
    return [
        Head(
            name,
            c.label or name,
            "" if c.unit == "fraction" else c.unit,
            kinds.get(c.dtype, "number"),
            c.description,
        )
        for name, c in ((name, described[name]) for name in names if name in described)
    ]


def reading_order(rows: list[Row]) -> list[Row]:
    """Rows as the page shows them: sequential arms before parallel ones, arm by arm from small to large; rows that
    are no cells stay put."""
    return sorted(rows, key=_place)


def groups_of(rows: list[Row], column: str, order: list[str]) -> list[tuple[str, list[Row]]]:
    """Rows by what `column` says: names in `order` first, the rest as they appear."""
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
