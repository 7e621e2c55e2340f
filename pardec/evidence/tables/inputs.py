"""Inputs of tables, read and checked once."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.evidence.ideas import Ideas, load_ideas
from pardec.evidence.tables.files import rows_of

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Source:
    """A JSON file: its path as given, the SHA-256 of its bytes, its content."""

    path: str
    sha256: str
    body: Any


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
        """Raises:
        UserError: the file of ideas is missing or wrong.
        """
        return load_ideas(self.ideas_file)

    def hashes(self) -> tuple[tuple[str, str], ...]:
        """Returns (path, SHA-256) of every file except tables."""
        single = [source for source in (self.machine, self.floors) if source is not None]
        sources = (*self.records, *self.scores.values(), *self.likelihoods, *self.verify_costs, *single)
        return tuple((source.path, source.sha256) for source in sources)

    def study(self, key: str) -> dict[str, Any]:
        """Returns a part of the study that is not in records, {} if absent.

        Parts are "margins" by metric, "kinds" by experiment, and labels of "arms" and "workloads".
        """
        return (self.floors.body.get(key) or {}) if self.floors else {}

    def table(self, name: str) -> DataFrame:
        """Returns another table's frame.

        Raises:
            UserError: the table was not given.
        """
        if name not in self.tables:
            raise UserError(
                f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables"
            )
        return self.tables[name]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Returns another table's rows as dictionaries, null as None."""
        return rows_of(self.table(name))


def read_source(path: str | Path) -> Source:
    """Returns a JSON file's content with the hash of its bytes.

    Raises:
        UserError: the file is missing or damaged.
    """
    try:
        data = Path(path).read_bytes()
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to produce it") from None
    try:
        body = json.loads(data)
    except ValueError as error:
        raise UserError(
            path, f"is not valid JSON ({error})", "move it away and run `make all` again"
        ) from None
    return Source(str(path), hashlib.sha256(data).hexdigest(), body)


def read_records(paths: Iterable[str | Path]) -> tuple[Source, ...]:
    """Returns timing records in the order of their cells' ids.

    Raises:
        UserError: a record is missing, damaged or incomplete, or two records are of one cell.
    """
    records = [check_record(read_source(path)) for path in sorted(set(map(str, paths)))]
    by_id: dict[str, Source] = {}
    for record in records:
        twin = by_id.setdefault(record.body["cell"]["id"], record)
        if twin is not record:
            raise UserError(record.path, f"is of the same cell as {twin.path}", "remove the stale one")
    return tuple(by_id[name] for name in sorted(by_id))


def check_record(record: Source) -> Source:
    """Returns `record` if it is valid.

    Raises:
        UserError: it is invalid; names the file and the first key that is missing or wrong.
    """
    from pardec.evidence.record import check

    check(record.path, record.body)
    return record


def read_scores(paths: Iterable[str | Path]) -> dict[str, Source]:
    """Returns scored output sets by path.

    Raises:
        UserError: one is missing, damaged, or has no metrics.
    """
    scores = {str(path): read_source(path) for path in sorted(set(map(str, paths)))}
    for score in scores.values():
        _require(score.path, score.body, ("metrics",), "", "move it away and run `make all` again")
        if score.body.get("status", "ok") == "ok":
            _require(score.path, score.body, ("main",), "", "move it away and run `make all` again")
        for name, metric in score.body["metrics"].items():
            _require(score.path, metric, ("value",), f"metrics.{name}.", "score this cell again")
    return scores


def _require(path: str, body: Any, keys: tuple[str, ...], where: str, mend: str) -> None:
    for key in keys:
        if not isinstance(body, dict) or key not in body:
            raise UserError(path, f"lacks {where}{key}", mend)
