"""Gather the inputs of one table from the paths passed to a script."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.evidence.tables.inputs import Inputs, Source, read_records, read_scores, read_source
from pardec.evidence.tables.registry import FILES, TABLES, needs

if TYPE_CHECKING:
    from pandas import DataFrame

Paths = dict[str, list[str]]


def sort_paths(listing: str | Path) -> Paths:
    """Returns the paths listed in a file, one per line, by kind.

    Names give the kind: `timing.json` is a record, `score.json` a score, `machine.json` and `floors.json` themselves, a
    JSON in a folder `likelihood` a likelihood, in a folder `verify_cost` the cost of verification, `.parquet` and
    `.csv` tables.

    Raises:
        UserError: the listing is missing, or a path is none of these.
    """
    try:
        lines = [line.strip() for line in Path(listing).read_text(encoding="utf-8").splitlines()]
    except FileNotFoundError:
        raise UserError(listing, "does not exist", "pass a file with one path a line") from None
    by_kind: Paths = {}
    for line in filter(None, lines):
        by_kind.setdefault(_kind(listing, line), []).append(line)
    return by_kind


def _kind(listing: str | Path, line: str) -> str:
    path = Path(line)
    by_name = {
        "timing.json": "records",
        "score.json": "scores",
        "machine.json": "machine",
        "floors.json": "floors",
    }
    if path.name in by_name:
        return by_name[path.name]
    if path.suffix in (".parquet", ".csv"):
        return "tables"
    by_folder = {"likelihood": "likelihoods", "verify_cost": "verify_costs"}
    if path.parent.name in by_folder and path.suffix == ".json":
        return by_folder[path.parent.name]
    raise UserError(
        listing, f"names {line}, which is no record, score, likelihood or table", "remove this line"
    )


def gather(name: str, paths: Paths) -> Inputs:
    """Returns only the inputs that table `name` needs.

    Raises:
        UserError: a required input is missing or damaged.
    """
    wanted = needs(name)
    given = {kind: paths.get(kind) or [] for kind in (*FILES, "tables")}
    if "records" in wanted and not given["records"]:
        raise UserError(
            f"table {name!r}", "was given no records", "pass --records results/cells/.../timing.json"
        )
    return Inputs(
        records=read_records(given["records"]) if "records" in wanted else (),
        scores=read_scores(given["scores"]) if "scores" in wanted else {},
        **{
            kind: tuple(read_source(p) for p in sorted(given[kind])) if kind in wanted else ()
            for kind in ("likelihoods", "verify_costs")
        },
        machine=_single(given["machine"]) if "machine" in wanted else None,
        floors=_single(given["floors"]) if "floors" in wanted else None,
        ideas_file=next(iter(given["ideas_file"]), None) if "ideas_file" in wanted else None,
        tables={other: load(other, given["tables"]) for other in wanted if other not in FILES},
    )


def read_paths(name: str, paths: Paths) -> list[Path]:
    """Returns the files among `paths` that `gather` reads for table `name`."""
    wanted = needs(name)
    single = ("machine", "floors", "ideas_file")
    located = [
        Path(path)
        for kind in FILES
        if kind in wanted
        for path in (paths.get(kind) or [])[: 1 if kind in single else None]
    ]
    return located + [locate(other, paths.get("tables") or []) for other in wanted if other not in FILES]


def load(name: str, paths: Sequence[str]) -> DataFrame:
    """Returns table `name` from among `paths`, folders or files; Parquet before CSV.

    Raises:
        UserError: none of the paths has it.
    """
    return TABLES.load(name).read(locate(name, paths))


def locate(name: str, paths: Iterable[str]) -> Path:
    files = list(map(Path, paths))
    candidates = [p for p in files if p.stem == name and p.suffix in (".parquet", ".csv")]
    candidates += [p / f"{name}{end}" for p in files if p.is_dir() for end in (".parquet", ".csv")]
    for end in (".parquet", ".csv"):
        for path in candidates:
            if path.suffix == end and (path.is_file() or path in files):
                return path
    raise UserError(f"table {name!r}", "was not given", f"pass results/tables/{name}.parquet with --tables")


def _single(paths: Sequence[str]) -> Source | None:
    return read_source(paths[0]) if paths else None
