"""What tables are built from, read and checked once."""

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
    """Everything a table may read; a table gets what it `needs`, the rest is empty.

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
        """(path, SHA-256) of every file, tables aside."""
        single = [source for source in (self.machine, self.floors) if source is not None]
        sources = (*self.records, *self.scores.values(), *self.likelihoods, *self.verify_costs, *single)
        return tuple((source.path, source.sha256) for source in sources)

    def study(self, key: str) -> dict[str, Any]:
        """What the study says that no record holds: "margins" by metric, "kinds" by experiment, "arms" and "workloads",
        the labels of those that have one. Empty where it says nothing."""
        return (self.floors.body.get(key) or {}) if self.floors else {}

    def table(self, name: str) -> DataFrame:
        """Another table's frame.

        Raises:
            UserError: it was not given.
        """
        if name not in self.tables:
            raise UserError(
                f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables"
            )
        return self.tables[name]

    def rows(self, name: str) -> list[dict[str, Any]]:
        """Another table's rows as dictionaries, null as None."""
        return rows_of(self.table(name))


def read_source(path: str | Path) -> Source:
    """Read a JSON file and hash what was read.

    Raises:
        UserError: missing or damaged; names the file.
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
    """Read timing records in the order of their cells' ids.

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
    """Return `record` if it has what tables rely on.

    Raises:
        UserError: it has not; names the file and the first key that is missing or wrong.
    """
    from pardec.evidence.record import check

    check(record.path, record.body)
    return record


def read_scores(paths: Iterable[str | Path]) -> dict[str, Source]:
    """Read scored output sets by path.

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
