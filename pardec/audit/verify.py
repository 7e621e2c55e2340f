"""Does everything in a run follow from what lies beneath it, down to the data?"""

from __future__ import annotations

import json
import shlex
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from pardec.audit.code_now import changed_code
from pardec.audit.embedded import check_report
from pardec.audit.faults import Fault, lowest_first
from pardec.audit.origins import Origin, origins
from pardec.audit.rebuild import listed, read_inputs, rebuild_tables, rebuild_trails, rebuild_values
from pardec.audit.run import Run
from pardec.audit.vouch import MACHINE, Claims, claims, judge, machine_is_newer
from pardec.common.errors import UserError
from pardec.evidence.provenance import content, self_hash
from pardec.study.kinds import asked_of_tables

CHANGED = "is not what its job wrote: its content has another SHA-256"
STUDY, FLOORS = "results/study.json", "results/floors.json"


@dataclass
class Verdict:
    """faults: one a file, lowest first. notes: what could not be checked, or need not hold. checked: counts."""

    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)


def verify(run: Run, root: Path | None) -> Verdict:
    """Check a run from its data to its report.

    root: the project whose code the run's must equal; None leaves code, and inputs outside of the results, unchecked.

    Raises:
        UserError: the run has no records, so there is nothing to follow from.
    """
    names = run.files()
    if not any(name.endswith("/timing.json") for name in names):
        raise UserError(run.label, "holds no records", "name the results of a finished run")
    known = origins(run)
    verdict = Verdict()
    faults = [Fault(path, why) for path, why in run.damaged]
    faults += _unreadable(run, names)
    faults += [fault for origin in known.values() for fault in _content(run, origin)]
    faults += _places(run, names)
    sound = {path: origin for path, origin in known.items() if path not in {fault.path for fault in faults}}
    told = claims(run, sound)
    faults += _lists(run, names, told)
    voted, absent = judge(run, told, outside=root is not None)
    faults += voted
    blamed = {fault.path for fault in faults}
    trusted = {path: origin for path, origin in known.items() if path not in blamed}
    faults += _study(run, trusted)
    if root is not None:
        faults += changed_code(root, trusted.values())
    faults += _made_again(run, told)
    faults += check_report(run)
    verdict.faults = lowest_first(faults)
    if absent:
        more = f" (and {len(absent) - 1} more)" if len(absent) > 1 else ""
        verdict.notes.append(f"{absent[0]}{more}, outside of the results, is not here to be compared")
    newer = sum(bool(o.machine_sha) and machine_is_newer(run, o) for o in known.values())
    if newer:
        verdict.notes.append(f"{MACHINE} was written again after {newer} jobs had copied it")
    if root is None:
        verdict.notes.append("the code that ran was not compared with the code here")
    verdict.checked = {"files": len(names), "hashes": sum(map(len, told.values())), "jobs": len(known)}
    return verdict


def _unreadable(run: Run, names: list[str]) -> Iterator[Fault]:
    for name in names:
        if name.endswith(".json") and run.json(name) is None:
            yield Fault(name, "is not valid JSON")


def _content(run: Run, origin: Origin) -> Iterator[Fault]:
    """A file that holds its own provenance tells there the hash of all the rest of it; a sidecar does too."""
    for entry in origin.block.get("outputs") or []:
        own = isinstance(entry, dict) and "content_sha256" in entry and origin.path == entry.get("path")
        if own and content(run.json(origin.path)) != entry["content_sha256"]:
            yield Fault(origin.path, CHANGED)
    if "self_sha256" in origin.block and self_hash(origin.block) != origin.block["self_sha256"]:
        yield Fault(origin.path, CHANGED)


def _places(run: Run, names: list[str]) -> Iterator[Fault]:
    """A record lies where its cell's id says."""
    for name in names:
        if name.startswith("results/cells/") and name.endswith("/timing.json"):
            body = run.json(name)
            cell = body.get("cell") if isinstance(body, dict) else None
            ident = cell.get("id") if isinstance(cell, dict) else None
            if ident != PurePosixPath(name).parent.relative_to("results/cells").as_posix():
                yield Fault(name, f"is the record of another cell ({ident})")


def _lists(run: Run, names: list[str], told: Claims) -> Iterator[Fault]:
    """What the workflow listed lies there, or something tells of it."""
    for name in names:
        if name.startswith("results/lists/"):
            lines = run.path(name).read_text(encoding="utf-8", errors="replace").splitlines()
            lost = [line for line in lines if line and not run.has(line) and line not in told]
            if lost:
                yield Fault(name, f"names {lost[0]}, of which nothing else in the run tells")


def _study(run: Run, known: dict[str, Origin]) -> Iterator[Fault]:
    """The study that was recorded is the one that jobs were given."""
    study = run.json(STUDY)
    if not isinstance(study, dict):
        return
    floors = run.json(FLOORS)
    if isinstance(floors, dict) and floors != asked_of_tables(study):
        yield Fault(FLOORS, f"does not follow from {STUDY}")
    given: dict[str, list[tuple[str, bool]]] = {}
    for origin in known.values():
        for key, agrees in _settings(study, origin):
            given.setdefault(key, []).append((origin.path, agrees))
    for key, told in given.items():
        against = [path for path, agrees in told if not agrees]
        if against and len(against) == len(told):
            more = f" (and {len(told) - 1} more)" if len(told) > 1 else ""
            yield Fault(STUDY, f"has another `{key}` than {against[0]}{more} was given")
        else:
            yield from (Fault(path, f"was given another `{key}` than {STUDY} has") for path in against)


def _settings(study: dict[str, Any], origin: Origin) -> Iterator[tuple[str, bool]]:
    """(key of the study, whether the job was given the same) of what a job's command line says."""
    try:
        words = shlex.split(origin.block.get("command") or "")
    except ValueError:
        return
    said = {flag: text for flag, text in pairwise(words) if flag.startswith("--")}
    section = {"results/data/": "data", "results/models/": "models"}
    for start, name in section.items():
        if origin.path.startswith(start) and "--settings" in said and "--name" in said:
            expected = (study.get(name) or {}).get(said["--name"])
            yield f"{name}.{said['--name']}", expected == _json(said["--settings"])
    if "--measure" in said:
        yield "measure", _json(said["--measure"]) in _measures(study, said.get("--experiment"))


def _measures(study: dict[str, Any], experiment: str | None) -> list[Any]:
    """What a cell may have been told of timing: the study's own, as some grid of its experiment lays over it."""
    own = study.get("measure")
    grids = ((study.get("experiments") or {}).get(experiment) or {}).get("grids") or []
    return [own, *({**(own or {}), **(grid.get("measure") or {})} for grid in grids)]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _made_again(run: Run, told: Claims) -> list[Fault]:
    paths, faults = listed(run, told)
    with tempfile.TemporaryDirectory(prefix="pardec-tables-") as name:
        shadow = Path(name)
        with run.standing():
            inputs, unreadable = read_inputs(paths)
            faults += unreadable
            faults += rebuild_tables(run, inputs, shadow)
            wanted = [
                p
                for kind in ("records", "scores", "likelihoods", "verify_costs")
                for p in paths.get(kind, [])
            ]
            faults += rebuild_trails(run, wanted)
        with run.standing(shadow):
            faults += rebuild_values(run)
    return faults
