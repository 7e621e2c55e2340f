"""Read the inputs of tables, each once, and write tables as CSV (to look at) and Parquet (for programs)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.files import atomic
from pardec.common.lazy import lazy
from pardec.evidence.ideas import Ideas, load_ideas
from pardec.evidence.tables.base import Row
from pardec.evidence.tables.registry import FILES, TABLES, needs

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")
parquet = lazy("pyarrow.parquet")

Paths = dict[str, list[str]]
AGAIN = "move it away and run `make all` again"
BY_NAME = {
    "timing.json": "records",
    "score.json": "scores",
    "machine.json": "machine",
    "floors.json": "floors",
}
BY_FOLDER = {"likelihood": "likelihoods", "verify_cost": "verify_costs"}
"""Kinds of inputs, by a file's name or its folder."""
SINGLE = ("machine", "floors", "ideas_file")
"""Kinds of inputs with one file."""


@dataclass(frozen=True)
class Source:
    """A JSON file: its path as given, the SHA-256 of its bytes, its content."""

    path: str
    sha256: str
    body: Any

    @property
    def origin(self) -> Row:
        """Return the columns that name a row's file."""
        return {"record": self.path, "record_sha256": self.sha256}


@dataclass(frozen=True)
class Inputs:
    """All inputs that a table may read; a table gets those it `needs`, the others are empty.

    scores: by the path that cells name in `quality`. ideas_file: the study's drafting ideas, the shipped ones where
    None. tables: other tables by name.
    """

    records: tuple[Source, ...] = ()
    scores: dict[str, Source] = field(default_factory=dict)
    likelihoods: tuple[Source, ...] = ()
    verify_costs: tuple[Source, ...] = ()
    machine: Source | None = None
    floors: Source | None = None
    ideas_file: str | None = None
    tables: dict[str, DataFrame] = field(default_factory=dict)

    @property
    def ideas(self) -> Ideas:
        """Return the ideas to judge.

        Raises:
            UserError: the file of ideas is missing or wrong.
        """
        return load_ideas(self.ideas_file)

    def study(self, key: str) -> dict[str, Any]:
        """Return a part of the study that is not in records, {} if absent.

        Parts are "margins" by metric, "kinds" by experiment, and labels of "arms" and "workloads".
        """
        return (self.floors.body.get(key) or {}) if self.floors else {}

    def rows(self, name: str) -> list[Row]:
        """Return another table's rows as dictionaries, null as None.

        Raises:
            UserError: the table was not given.
        """
        if name not in self.tables:
            raise _not_given(name)
        return rows_of(self.tables[name])


def joined(rows: Iterable[Row]) -> Row:
    """Return the columns that name the files behind several rows, each file once, in order of appearance."""
    files = {
        path: sha
        for row in rows
        for path, sha in zip(row["record"].split(), row["record_sha256"].split(), strict=True)
    }
    return {"record": " ".join(files), "record_sha256": " ".join(files.values())}


def read_source(path: str | Path) -> Source:
    """Return a JSON file's content with the hash of its bytes.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        data = Path(path).read_bytes()
        return Source(str(path), hashlib.sha256(data).hexdigest(), json.loads(data))
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to produce it") from None
    except ValueError as error:
        raise UserError(path, f"is not valid JSON ({error})", AGAIN) from None


def read_records(paths: Iterable[str | Path]) -> tuple[Source, ...]:
    """Return timing records in the order of their cells' ids.

    Raises:
        UserError: a record is missing, damaged or incomplete, or two records are of one cell.
    """
    by_id: dict[str, Source] = {}
    for record in (check_record(read_source(path)) for path in sorted(set(map(str, paths)))):
        twin = by_id.setdefault(record.body["cell"]["id"], record)
        if twin is not record:
            raise UserError(record.path, f"is of the same cell as {twin.path}", "remove the stale one")
    return tuple(by_id[name] for name in sorted(by_id))


def check_record(record: Source) -> Source:
    """Return `record` if it is valid.

    Raises:
        UserError: it is invalid; names the file and the first key that is missing or wrong.
    """
    from pardec.evidence.record import check

    check(record.path, record.body)
    return record


def read_scores(paths: Iterable[str | Path]) -> dict[str, Source]:
    """Return scored output sets by path.

    Raises:
        UserError: one is missing, damaged, or has no metrics.
    """
    scores = {str(path): read_source(path) for path in sorted(set(map(str, paths)))}
    for score in scores.values():
        _require(score.path, score.body, "metrics", "metrics", AGAIN)
        if score.body.get("status", "ok") == "ok":
            _require(score.path, score.body, "main", "main", AGAIN)
        for name, metric in score.body["metrics"].items():
            _require(score.path, metric, "value", f"metrics.{name}.value", "score this cell again")
    return scores


def _require(path: str, body: Any, key: str, place: str, fix: str) -> None:
    if not isinstance(body, dict) or key not in body:
        raise UserError(path, f"lacks {place}", fix)


def sort_paths(listing: str | Path) -> Paths:
    """Return the paths listed in a file, one per line, by kind: see `BY_NAME` and `BY_FOLDER`; the rest are tables.

    Raises:
        UserError: the listing is missing, or a path is none of these.
    """
    try:
        lines = [line.strip() for line in Path(listing).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise UserError(listing, "does not exist", "pass a file with one path a line") from None
    by_kind: Paths = {}
    for line in filter(None, lines):
        path = Path(line)
        kind = BY_NAME.get(path.name) or (BY_FOLDER.get(path.parent.name) if path.suffix == ".json" else None)
        if path.suffix in (".parquet", ".csv"):
            kind = "tables"
        if kind is None:
            message = f"names {line}, which is no record, score, likelihood or table"
            raise UserError(listing, message, "remove this line")
        by_kind.setdefault(kind, []).append(line)
    return by_kind


def gather(name: str, paths: Paths) -> Inputs:
    """Return only the inputs that table `name` needs.

    Raises:
        UserError: a required input is missing or damaged.
    """
    files, tables = _wanted(name, paths)
    if "records" in files and not files["records"]:
        raise UserError(
            f"table {name!r}", "was given no records", "pass --records results/cells/.../timing.json"
        )
    given: dict[str, Any] = {
        kind: tuple(map(read_source, sorted(files[kind]))) for kind in files if kind in BY_FOLDER.values()
    }
    for kind in ("machine", "floors"):
        given[kind] = read_source(files[kind][0]) if files.get(kind) else None
    if "records" in files:
        given["records"] = read_records(files["records"])
    if "scores" in files:
        given["scores"] = read_scores(files["scores"])
    given["ideas_file"] = next(iter(files.get("ideas_file", ())), None)
    return Inputs(**given, tables={other: read_table(other, path) for other, path in tables.items()})


def read_paths(name: str, paths: Paths) -> list[Path]:
    """Return the files among `paths` that `gather` reads for table `name`."""
    files, tables = _wanted(name, paths)
    return [Path(path) for given in files.values() for path in given] + list(tables.values())


def _wanted(name: str, paths: Paths) -> tuple[Paths, dict[str, Path]]:
    """Return the files by kind, and the tables by name, that table `name` needs."""
    wanted = needs(name)
    files = {k: (paths.get(k) or [])[: 1 if k in SINGLE else None] for k in FILES if k in wanted}
    tables = paths.get("tables") or []
    return files, {other: locate(other, tables) for other in wanted if other not in FILES}


def locate(name: str, paths: Sequence[str]) -> Path:
    """Return the file of table `name` among `paths`, folders or files; Parquet before CSV.

    Raises:
        UserError: none of the paths has it.
    """
    files = list(map(Path, paths))
    for end in (".parquet", ".csv"):
        for path in [p for p in files if p.name == name + end] + [
            p / f"{name}{end}" for p in files if p.is_dir()
        ]:
            if path.is_file() or path in files:
                return path
    raise _not_given(name)


def _not_given(name: str) -> UserError:
    return UserError(f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables")


def write_table(frame: DataFrame, csv: str | Path, parquet: str | Path) -> None:
    """Write both copies; floats in CSV read back exactly."""
    with atomic(csv) as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    with atomic(parquet, ".parquet") as path:
        frame.to_parquet(path, index=False)


def read_table(name: str, path: str | Path) -> DataFrame:
    """Return the frame of a written copy of table `name`, CSV or Parquet, with its declared types.

    Raises:
        UserError: the file is missing, damaged, or not this table.
    """
    dtypes = TABLES.load(name).dtypes
    plain = {"dtype": dtypes, "keep_default_na": False, "na_values": [""], "float_precision": "round_trip"}
    with _readable(name, path):
        frame = (
            pandas.read_parquet(path) if Path(path).suffix == ".parquet" else pandas.read_csv(path, **plain)
        )
    _check_columns(name, path, frame.columns)
    return frame


def read_rows(name: str, path: str | Path) -> list[Row]:
    """Return the rows of a written copy of table `name`, null as None; Parquet is read without pandas, which takes
    several times as long.

    Raises:
        UserError: as by `read_table`.
    """
    if Path(path).suffix != ".parquet":
        return rows_of(read_table(name, path))
    with _readable(name, path):
        table = parquet.read_table(path)
    _check_columns(name, path, table.column_names)
    return table.to_pylist()


@contextmanager
def _readable(name: str, path: str | Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to produce it") from None
    except (ValueError, OSError) as error:
        raise UserError(path, f"is not a readable table ({error})", _again(name)) from None


def _check_columns(name: str, path: str | Path, columns: Iterable[str]) -> None:
    if list(columns) != list(TABLES.load(name).all_columns):
        raise UserError(path, f"does not have the columns of table {name!r}", _again(name))


def _again(name: str) -> str:
    return f"delete it and run `snakemake --cores 1 results/tables/{name}.csv` again"


def rows_of(frame: DataFrame) -> list[Row]:
    """Return a table's rows as dictionaries, null as None."""
    columns = [frame[name].to_numpy(dtype=object, na_value=None).tolist() for name in frame]
    return [dict(zip(frame, entries, strict=True)) for entries in zip(*columns, strict=True)]
