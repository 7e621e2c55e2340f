"""Tables, trails and values made again from the files beneath them, and held against those on disk."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from collections.abc import Callable, Container, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.audit.faults import Fault
from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.files import sha256
from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from pandas import DataFrame

    from pardec.evidence.tables.inputs import Inputs

parquet = lazy("pyarrow.parquet")

CLOSE = 1e-9
"""Relative difference that other processors and library versions may make in a bootstrap; a table's own hash, which
values.json holds, knows no such slack."""
LIST = "results/lists/inputs.txt"
REMEMBERED = 64
_MADE: dict[tuple, DataFrame] = {}
"""Tables made in this process, by the hashes of all they were made of: checking one run twice makes them once."""
_HOLD: set[tuple] = set()
"""What was found to follow in this process: hashes of what lies beneath, and of the files that follow from it."""

SINGLE = ("machine", "floors")


def listed(run: Run, told: Container[str]) -> tuple[dict[str, list[str]], list[Fault]]:
    """The files that tables are built from, by kind: those the workflow listed, else those that lie there.

    told: every file that some other file of the run speaks of. A listed file that neither lies there nor is told of
    is a fault of the list, which is then not followed.
    """
    from pardec.evidence.tables.gather import sort_paths

    names = run.files()
    found = {
        "records": [name for name in names if name.endswith("/timing.json") and name in told],
        "scores": [name for name in names if name.endswith("/score.json") and name in told],
        "likelihoods": [n for n in names if n.split("/")[-2] == "likelihood" and n.endswith(".json")],
        "verify_costs": [n for n in names if n.split("/")[-2] == "verify_cost" and n.endswith(".json")],
    }
    faults = []
    if run.has(LIST):
        try:
            wanted = sort_paths(run.path(LIST))
            lost = [p for kind in found for p in wanted.get(kind, []) if not run.has(p) and p not in told]
            if lost:
                faults.append(Fault(LIST, f"names {lost[0]}, of which nothing else in the run tells"))
            else:
                found = {kind: wanted.get(kind, []) for kind in found}
        except (UserError, UnicodeDecodeError) as error:
            faults.append(Fault(LIST, getattr(error, "what", "is not UTF-8 text")))
    single = {kind: [f"results/{kind}.json"] for kind in SINGLE if run.has(f"results/{kind}.json")}
    return found | single, faults


def read_inputs(paths: dict[str, list[str]]) -> tuple[Inputs, list[Fault]]:
    """Everything beneath the tables, read once; files that cannot be read are left out and named."""
    from pardec.evidence.tables import inputs

    faults: list[Fault] = []

    def readable(kind: str, check: Any) -> list[str]:
        kept = []
        for path in paths.get(kind) or []:
            try:
                check(path)
                kept.append(path)
            except UserError as error:
                faults.append(Fault(path, error.what))
            except (AttributeError, KeyError, TypeError) as error:
                faults.append(Fault(path, f"is damaged ({error!r})"))
        return kept

    records = readable("records", lambda path: inputs.read_records([path]))
    scores = readable("scores", lambda path: inputs.read_scores([path]))
    likelihoods = readable("likelihoods", inputs.read_source)
    costs = readable("verify_costs", inputs.read_source)
    single = {kind: readable(kind, inputs.read_source) for kind in SINGLE}
    return inputs.Inputs(
        records=inputs.read_records(records),
        scores=inputs.read_scores(scores),
        likelihoods=tuple(inputs.read_source(path) for path in sorted(likelihoods)),
        verify_costs=tuple(inputs.read_source(path) for path in sorted(costs)),
        **{kind: inputs.read_source(found[0]) if found else None for kind, found in single.items()},
    ), faults


def rebuild_tables(run: Run, inputs: Inputs, shadow: Path) -> list[Fault]:
    """Make every table again in the registry's order of need, and fill `shadow` with the right ones.

    A table that follows is copied there as it lies on disk, one that does not is written anew, so that a table above
    it is judged by what it ought to rest on.
    """
    from pardec.evidence.tables.files import write_table
    from pardec.evidence.tables.registry import FILES, TABLES, needs

    faults: list[Fault] = []
    frames: dict[str, DataFrame] = {}
    stamps: dict[str, tuple] = {}

    def made(name: str) -> DataFrame:
        if name not in frames:
            wanted = needs(name)
            below = {other: made(other) for other in wanted if other not in FILES}
            empty = {"records": (), "scores": {}, "likelihoods": (), "machine": None, "floors": None}
            empty["verify_costs"] = ()
            unasked = {kind: nothing for kind, nothing in empty.items() if kind not in wanted}
            given = dataclasses.replace(inputs, tables=below, **unasked)
            stamps[name] = (name, *given.hashes(), *(stamps[other] for other in below))
            frames[name] = _remembered(stamps[name], lambda: TABLES.load(name).make(given))
        return frames[name]

    for name in TABLES:
        paper = run.path(f"results/tables/{name}.provenance.json")
        if paper.is_file():
            shutil.copyfile(paper, shadow / paper.name)
        paths = {end: f"results/tables/{name}.{end}" for end in ("csv", "parquet")}
        try:
            frame = made(name)
        except Exception as error:  # whatever a damaged input makes the table code raise
            why = str(error).splitlines()[0][:160] if str(error) else repr(error)
            faults.append(Fault(paths["parquet"], f"cannot be made from the files beneath it ({why})"))
            continue
        hold = (stamps[name], *map(run.sha, paths.values()))
        own = []
        if hold not in _HOLD:
            own = [fault for end, path in paths.items() for fault in _compare(run, path, name, frame, end)]
            faults += own
        if not own:
            _HOLD.add(hold)
        targets = {end: shadow / f"{name}.{end}" for end in paths}
        if own:
            write_table(frame, targets["csv"], targets["parquet"])
        else:
            frames[name] = TABLES.load(name).read(run.path(paths["parquet"]))
            stamps[name] = (name, run.sha(paths["parquet"]))
            for end, path in paths.items():
                shutil.copyfile(run.path(path), targets[end])
    return faults


def _remembered(stamp: tuple, make: Callable[[], DataFrame]) -> DataFrame:
    """A table that this process has made of the same bytes before, or a new one."""
    if stamp not in _MADE:
        if len(_MADE) >= REMEMBERED:
            del _MADE[next(iter(_MADE))]
        _MADE[stamp] = make()
    return _MADE[stamp].copy()


def _compare(run: Run, path: str, name: str, frame: DataFrame, end: str) -> Iterator[Fault]:
    from pardec.evidence.tables.registry import TABLES

    if not run.has(path):
        yield Fault(path, "is missing")
        return
    try:
        found = TABLES.load(name).read(run.path(path))
        wrong = first_difference(frame, found)
    except UserError as error:
        yield Fault(path, error.what)
        return
    except Exception as error:  # a flipped byte can raise anything in a reader
        yield Fault(path, f"is not a readable table ({str(error).splitlines()[0][:120]})")
        return
    if wrong:
        yield Fault(path, f"does not follow from the files beneath it: {wrong}")
    elif end == "csv" and run.path(path).read_bytes() != _as_csv(found):
        yield Fault(path, "has the right rows, and other bytes than this table's CSV")
    elif end == "csv":
        # The Parquet copy was written from the same frame, to the last digit.
        twin = run.path(path).with_suffix(".parquet")
        if twin.is_file() and (wrong := _unlike(TABLES.load(name), found, twin)):
            yield Fault(path, f"differs from its Parquet copy: {wrong}")


def _as_csv(frame: DataFrame) -> bytes:
    return frame.to_csv(index=False, lineterminator="\n").encode()


def _unlike(table: Any, found: DataFrame, twin: Path) -> str | None:
    try:
        return first_difference(table.read(twin), found, 0.0)
    except Exception:  # the twin is unreadable, and named on its own
        return None


def first_difference(right: DataFrame, found: DataFrame, slack: float = CLOSE) -> str | None:
    """Where two frames of one table first differ, in words; None where they agree."""
    if len(right) != len(found):
        return f"{len(found)} rows instead of {len(right)}"
    for column in right.columns:
        pairs = zip(right["key"], right[column], found[column], strict=True)
        for key, expected, actual in pairs:
            if not same(_null(expected), _null(actual), slack):
                return f"row {key}, column {column}: {_short(actual)} instead of {_short(expected)}"
    return None


def _null(entry: Any) -> Any:
    import pandas

    return None if entry is pandas.NA or entry is None or entry != entry else entry


def _short(entry: Any) -> str:
    text = str(entry)
    return text if len(text) < 48 else text[:45] + "..."


def same(a: Any, b: Any, slack: float = CLOSE) -> bool:
    """Equal, floats up to a relative `slack`, inside mappings and lists too."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b or a == b
    if isinstance(a, int | float) and isinstance(b, int | float):
        return a == b or math.isclose(a, b, rel_tol=slack, abs_tol=0.0)
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key], slack) for key in a)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(same(x, y, slack) for x, y in zip(a, b, strict=True))
    return a == b


def rebuild_trails(run: Run, paths: list[str]) -> list[Fault]:
    """trails.json against the records it digests; the working directory must hold the run."""
    from pardec.evidence.trails import trail

    name = "results/trails.json"
    body = run.json(name)
    if not run.has(name):
        return [Fault(name, "is missing")]
    if not isinstance(body, dict):
        return [Fault(name, "is not valid JSON")]
    if lost := sorted({*paths} ^ {*body}):
        side = "lacks" if lost[0] in paths else "has a trail of another study's"
        return [Fault(name, f"{side} {lost[0]}")]
    for path in sorted(paths):
        try:
            if trail(path) != body[path]:
                return [Fault(name, f"does not follow from {path}")]
        except (UserError, KeyError, TypeError, AttributeError):
            return [Fault(name, f"cannot be made from {path}, which is damaged")]
    return []


def rebuild_values(run: Run) -> list[Fault]:
    """Values, claims and verdicts against the tables; the working directory must hold the right ones."""
    stamp = tuple((path.name, sha256(path)) for path in sorted(Path("results/tables").iterdir()))
    above = ("values.json", "values.tex", "claims.json", "verdicts.json")
    hold = (stamp, *(run.sha(f"results/{name}") for name in above))
    if hold in _HOLD:
        return []
    faults = _values_again(run)
    if not faults:
        _HOLD.add(hold)
    return faults


def _values_again(run: Run) -> list[Fault]:
    from pardec.evidence.latex import macros
    from pardec.evidence.values import collect

    name, tex = "results/values.json", "results/values.tex"
    try:
        right = collect(["results/tables"])
    except (UserError, KeyError, TypeError, ValueError) as error:
        return [Fault(name, f"cannot be made from the tables ({error})".splitlines()[0])]
    faults = []
    if not run.has(name):
        faults.append(Fault(name, "is missing"))
    elif wrong := _wrong_value(right, run.json(name)):
        faults.append(Fault(name, wrong))
    if not run.has(tex):
        faults.append(Fault(tex, "is missing"))
    elif run.path(tex).read_bytes() != macros(right).encode():
        faults.append(Fault(tex, "does not follow from the values"))
    return faults + _judged_again(run, right)


def _judged_again(run: Run, right: dict[str, Any]) -> list[Fault]:
    from pardec.evidence.claims import judge
    from pardec.evidence.verdicts import judge_ideas

    def verdicts(tables: dict, values: dict) -> dict[str, Any]:
        return judge_ideas(tables["ideas"], values)

    ways = {"results/claims.json": judge, "results/verdicts.json": verdicts}
    return [fault for name, way in ways.items() for fault in _again(run, name, way, right["values"])]


def _again(run: Run, name: str, way: Callable[[dict, dict], Any], values: dict[str, Any]) -> list[Fault]:
    from pardec.evidence.values import publish

    if not run.has(name):
        return []
    try:
        tables = {table: published.rows for table, published in publish(["results/tables"]).items()}
        judged = json.loads(json.dumps(way(tables, values)))
    except (UserError, KeyError, TypeError, ValueError) as error:
        return [Fault(name, f"cannot be judged from the tables ({error})".splitlines()[0])]
    return (
        [] if same(judged, run.json(name), 0.0) else [Fault(name, "does not follow from tables and values")]
    )


def _wrong_value(right: dict[str, Any], found: Any) -> str | None:
    if not isinstance(found, dict) or found.keys() != right.keys():
        return "is not valid JSON with the sections of values.json"
    for section, entries in right.items():
        there = found[section] if isinstance(found[section], dict) else {}
        if lost := sorted(there.keys() ^ entries.keys()):
            return f"{'lacks' if lost[0] in entries else 'has a foreign'} {lost[0]}"
        for ident, entry in entries.items():
            if not same(entry, there[ident], 0.0):
                return f"does not follow from the tables: {ident}"
    return None
