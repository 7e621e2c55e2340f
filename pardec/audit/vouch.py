"""Whose hash of a file is right: the file's own, against all that was written down about it elsewhere."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterator
from urllib.parse import unquote

from pardec.audit.faults import Fault
from pardec.audit.origins import Origin
from pardec.audit.run import Run
from pardec.common.lazy import lazy

parquet = lazy("pyarrow.parquet")

Claims = dict[str, dict[str, set[str]]]
"""Of each file: who says which SHA-256 it had, {path: {claimant: hashes}}."""

HASHED = ["record", "record_sha256"]
"""The columns in which a table says what its rows were made from."""
MACHINE = "results/machine.json"


def claims(run: Run, known: dict[str, Origin]) -> Claims:
    """Everything that provenance, tables, trails, values and the crate say of the hashes of other files."""
    found: Claims = defaultdict(lambda: defaultdict(set))
    for origin in known.values():
        for path, sha in (*origin.inputs, *origin.outputs):
            found[path][origin.path].add(sha)
        if origin.machine_sha and not machine_is_newer(run, origin):
            found[MACHINE][origin.path].add(origin.machine_sha)
    for claimant, path, sha in (*_tables(run), *_values(run), *_trails(run), *_crate(run)):
        found[path][claimant].add(sha)
    return found


def machine_is_newer(run: Run, origin: Origin) -> bool:
    """Whether the machine was described again after `origin` ended; the workflow does not rerun timing for that."""
    described = ((run.json(MACHINE) or {}).get("provenance") or {}).get("start")
    ended = origin.block.get("end")
    return bool(described and ended and described > ended)


def judge(run: Run, found: Claims, outside: bool) -> tuple[list[Fault], list[str]]:
    """Faults, and the files outside of the results that are not here to be checked.

    A file that nobody's hash fits was changed. Where some fit, those that do not were changed themselves. A file
    that only changed files speak against is not to blame. outside: whether to look at files outside of the results.
    """
    faults: dict[str, Fault] = {}
    absent = []
    for path in sorted(found, key=lambda name: (-Fault(name, "").floor, name)):
        is_outside = not path.startswith("results/")
        if is_outside and not outside:
            continue
        actual = run.sha(path)
        if is_outside and actual is None:
            absent.append(path)
            continue
        against = sorted(who for who, hashes in found[path].items() if hashes != {actual})
        agree = [who for who, hashes in found[path].items() if actual in hashes]
        if not against:
            continue
        if agree and actual is not None:
            for who in against:
                faults.setdefault(who, Fault(who, f"gives another SHA-256 of {path} than {_named(agree)}"))
        elif not all(who in faults for who in against):
            what = "is missing" if actual is None else "is not the file it was"
            faults.setdefault(
                path,
                Fault(
                    path,
                    f"{what}: {_named(against)} gives another SHA-256 of it"
                    if actual
                    else f"{what}, and {_named(against)} rests on it",
                ),
            )
    return list(faults.values()), absent


def _named(who: list[str]) -> str:
    return sorted(who)[0] + (f" (and {len(who) - 1} more)" if len(who) > 1 else "")


def _tables(run: Run) -> Iterator[tuple[str, str, str]]:
    for name in run.files():
        if not name.startswith("results/tables/"):
            continue
        rows: set[tuple[str, str]] = set()
        try:
            if name.endswith(".parquet"):
                columns = parquet.read_table(run.path(name), columns=HASHED).to_pydict()
                rows = set(zip(*(columns[column] for column in HASHED), strict=True))
            elif name.endswith(".csv"):
                with open(run.path(name), encoding="utf-8", newline="") as lines:
                    rows = {(row.get(HASHED[0]), row.get(HASHED[1])) for row in csv.DictReader(lines)}
        except (OSError, ValueError, KeyError):
            continue  # unreadable: the rebuilding names it
        for paths, hashes in rows:
            for path, sha in zip((paths or "").split(), (hashes or "").split(), strict=False):
                yield name, path, sha


def _values(run: Run) -> Iterator[tuple[str, str, str]]:
    name = "results/values.json"
    body = run.json(name)
    if not isinstance(body, dict):
        return
    try:
        pairs = {(s["path"], s["sha256"]) for value in body["values"].values() for s in value["source"]}
        pairs |= set(body["records"].items())
    except (KeyError, TypeError, AttributeError):
        return
    for path, sha in pairs:
        yield name, path, sha


def _trails(run: Run) -> Iterator[tuple[str, str, str]]:
    name = "results/trails.json"
    body = run.json(name)
    for path, trail in (body if isinstance(body, dict) else {}).items():
        if isinstance(trail, dict):
            pairs = [(path, trail.get("sha256")), *Origin(path, trail).inputs]
            yield from ((name, *pair) for pair in pairs if pair[1])


def _crate(run: Run) -> Iterator[tuple[str, str, str]]:
    name = "results/ro-crate-metadata.json"
    body = run.json(name)
    graph = body.get("@graph") if isinstance(body, dict) else None
    for entity in graph if isinstance(graph, list) else []:
        ident, sha = (
            (entity.get(key) for key in ("@id", "sha256")) if isinstance(entity, dict) else (None, None)
        )
        if isinstance(ident, str) and isinstance(sha, str) and not ident.startswith("#"):
            yield name, f"results/{unquote(ident)}", sha
