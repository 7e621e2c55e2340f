"""Publish numbers: every table entry gets a readable id and links back to its samples."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.evidence.answers import answers
from pardec.evidence.findings import Finding, find
from pardec.evidence.rounding import rounded
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import locate, read_rows
from pardec.evidence.tables.registry import TABLES, value_id

Value = dict[str, Any]

COLLECT = (
    "python scripts/collect_values.py --tables results/tables"
    " --out-json results/values.json --out-tex results/values.tex"
)
"""Command that computes the numbers drawn from several rows."""


@dataclass(frozen=True)
class Published:
    """A table on disk: path, hash, rows in file order (null as None), and the command that wrote it."""

    table: Table
    path: str
    sha256: str
    rows: list[dict[str, Any]]
    command: str

    @cached_property
    def places(self) -> dict[str, int]:
        """Numbers of the rows by their keys."""
        return {row["key"]: number for number, row in enumerate(self.rows)}

    def value(self, number: int, name: str, ident: str) -> Value:
        """Return the value in row `number`, column `name`, whose id is `ident`."""
        row, column = self.rows[number], self.table.all_columns[name]
        low, high = (None if end is None else row[end] for end in (column.low, column.high))
        return {
            **stated(ident, row[name], column.unit_in(row), low, high),
            "n": row[column.count] if column.count else row.get("n"),
            "description": column.description,
            "source": [{"path": self.path, "sha256": self.sha256, "rows": [number]}],
            "records": _records(row, name),
            "rule": "tabulate",
            "command": self.command,
        }


def _records(row: dict[str, Any], name: str) -> list[str]:
    """Return the files with the samples behind a table entry: scores for a quality, timings of all series of the same
    work for a relative number, else the row's own timing."""
    if name.startswith(("quality", "distinct")) and row.get("scores"):
        return [row["scores"]]
    if name.startswith("relative") and row.get("same_work"):
        return row["same_work"].split()
    return (row.get("record") or "").split()


def stated(ident: str, value: float | None, unit: str, low: float | None, high: float | None) -> Value:
    """Return the numbers of a value with their rounded texts."""
    text, text_low, text_high = rounded(value, low, high)
    return {
        "id": ident, "value": value, "unit": unit, "ci_low": low, "ci_high": high,
        "text": text, "text_low": text_low, "text_high": text_high,
    }  # fmt: skip


def publish(paths: Sequence[str | Path]) -> dict[str, Published]:
    """Return tables by name, read from files or folders; a name given twice is read once, Parquet before CSV.

    Raises:
        UserError: a file is missing, damaged, or not a table of this project.
    """
    published = {}
    for name, path in located(paths).items():
        rows = read_rows(name, path)
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
        published[name] = Published(TABLES.load(name), str(path), digest, rows, _command(path))
    return published


def located(paths: Sequence[str | Path]) -> dict[str, Path]:
    """Return the files of the tables in files or folders, by name; see `publish`."""
    return {name: locate(name, list(map(str, paths))) for name in _names(paths)}


def _command(path: Path) -> str:
    """Return the command in the table's sidecar; without a sidecar, the Snakemake call that makes the file."""
    sidecar = path.with_suffix(".provenance.json")
    command = read_json(sidecar).get("command") if sidecar.is_file() else None
    return command or f"snakemake --cores 1 {path}"


def _names(paths: Iterable[str | Path]) -> list[str]:
    """Return names of the tables in `paths`, in the registry's order."""
    stems = set()
    for path in map(Path, paths):
        if path.is_dir():
            stems |= {p.stem for p in path.iterdir() if p.suffix in (".parquet", ".csv")} & set(TABLES)
        else:
            TABLES.module(path.stem)  # an unknown name is an error that lists the known ones
            stems.add(path.stem)
    return [name for name in TABLES if name in stems]


def table_values(published: Published) -> Iterable[Value]:
    """Yield every numeric entry with an id of its own, empty ones as null; interval ends are part of their value."""
    table = published.table
    ends = {end for column in table.columns.values() for end in (column.low, column.high) if end}
    names = [name for name, column in table.columns.items() if column.numeric and name not in ends]
    for number, row in enumerate(published.rows):
        for name in names:
            ident = value_id(table.name, row, name)
            if ident.startswith(f"{table.name}/"):
                yield published.value(number, name, ident)


def finding_value(item: Finding, published: Published) -> Value:
    """Return the value of a number computed from several rows of a table."""
    numbers = sorted(published.places[key] for key in set(item.keys) if key in published.places)
    if len(numbers) != len(set(item.keys)):
        message = f"names a row that table {item.table!r} lacks"
        raise UserError(f"finding {item.id!r}", message, "correct the finding")
    records = [path for k in numbers for path in (published.rows[k].get("record") or "").split()]
    return {
        **stated(item.id, item.value, item.unit, item.low, item.high),
        "n": len(numbers) if item.n is None else item.n,
        "description": item.description,
        "source": [{"path": published.path, "sha256": published.sha256, "rows": numbers}],
        "records": list(dict.fromkeys(records)),
        "rule": "collect_values",
        "command": COLLECT,
    }


def collect(paths: Sequence[str | Path]) -> dict[str, Any]:
    """Return the content of values.json: all values, answers and record hashes.

    Its form is {"values": {id: value}, "answers": {experiment: {kind, pieces}}, "records": {path: sha256}}.

    Raises:
        UserError: a table is missing or damaged, or two values have one id.
    """
    tables = publish(paths)
    rows = {name: table.rows for name, table in tables.items()}
    values = [v for table in tables.values() if table.table.published for v in table_values(table)]
    values += [finding_value(item, tables[item.table]) for item in find(rows)]
    return {
        "values": _unique(values),
        "answers": answers(rows),
        "records": dict(sorted(_hashes(tables.values()))),
    }


def _unique(values: Iterable[Value]) -> dict[str, Value]:
    by_id: dict[str, Value] = {}
    for value in values:
        if by_id.setdefault(value["id"], value) is not value:
            raise UserError(f"value {value['id']!r}", "is published twice", "make the table's key unique")
    return by_id


def _hashes(tables: Iterable[Published]) -> set[tuple[str, str]]:
    return {
        pair
        for table in tables
        for row in table.rows
        for pair in zip(
            (row.get("record") or "").split(), (row.get("record_sha256") or "").split(), strict=True
        )
    }
