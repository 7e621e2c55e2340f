"""Verify a run from its data to its report.

Three checks. Each file has the hash that its own job and the jobs that read it recorded. All files derived from the
records come out the same when made again (`pardec.audit.remake`). The code here is the code that ran.
"""

from __future__ import annotations

import contextlib
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from pardec.audit.remake import INPUTS, LISTS, remake
from pardec.audit.run import Origin, Run, is_sidecar
from pardec.common.errors import UserError
from pardec.common.files import sha256
from pardec.evidence.provenance import ROOT, content, flags, self_hash
from pardec.evidence.tables.inputs import sort_paths
from pardec.evidence.trails import trail
from pardec.study.kinds import asked_of_tables

if TYPE_CHECKING:
    from pardec.study.plan import Plan

CHANGED = "is not what its job wrote: its content has another SHA-256"
STUDY, TRAILS = "results/study.json", "results/trails.json"
QUALITIES = "results/floors.json"
LEVELS = (
    ("results/data/", 1),
    ("results/models/", 2),
    ("results/machine", 3),
    ("results/warmup", 3),
    ("results/study", 3),
    ("results/floors", 3),
    ("results/lists/", 3),
    ("results/quality/", 4),
    ("results/likelihood/", 5),
    ("results/verify_cost/", 5),
    ("results/cells/", 5),
    ("results/tables/", 6),
    ("results/values", 7),
    ("results/trails", 7),
    ("results/claims", 8),
    ("results/verdicts", 8),
    ("results/figures/", 9),
    ("results/comparison", 9),
    ("results/jobs", 9),
    ("results/report", 10),
    ("results/", 11),
)
"""Level of a file above the data, by the start of its path; files outside of the results are at level 0."""
SCORES = 5


def level(path: str) -> int:
    """Return the level of the file `path` above the data."""
    if path.endswith("/score.json"):
        return SCORES
    return next((number for start, number in LEVELS if path.startswith(start)), 0)


@dataclass(frozen=True)
class Fault:
    """A file that failed a check. why: one sentence, without the file's name."""

    path: str
    why: str


@dataclass
class Verdict:
    """Result of `verify`. faults: one per file, lowest level first. notes: checks not possible. checked: counts."""

    faults: list[Fault] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    checked: dict[str, int] = field(default_factory=dict)


def verify(run: Run, root: Path | None, cores: int | None = None) -> Verdict:
    """Return the faults of a run, from its data to its report.

    root: the project whose code must equal the run's; None skips code and inputs outside of the results. cores:
    processes that make files again, by default all cores.

    Raises:
        UserError: the run has no records.
    """
    names = run.files()
    if not any(name.endswith("/timing.json") for name in names):
        raise UserError(run.label, "contains no records", "name the results of a finished run")
    notes: list[str] = []
    faults = dict(run.damaged)
    hashes = _recorded(run)
    for check in (_own(run, names), _listed(run, names, hashes), _given(run)):
        for path, why in check:
            faults.setdefault(path, why)
    _against_recorded(run, hashes, faults, notes, root is not None)
    if root is None:
        notes.append("the code that ran was not compared with the code here")
    else:
        faults |= dict(changed_code(root, (one for path, one in run.origins().items() if path not in faults)))
    again = dict(remake(run, notes, cores))
    faults |= again  # reasons from remaking are more specific
    for path, why in _edited_records(run, again):
        faults.setdefault(path, why)
    ordered = sorted(faults.items(), key=lambda fault: (level(fault[0]), fault[0]))
    checked = {
        "files": len(names),
        "hashes": sum(map(len, hashes.values())),
        "jobs": len(run.origins()),
    }
    return Verdict([Fault(*fault) for fault in ordered], notes, checked)


def changed_code(root: Path, jobs: Iterable[Origin]) -> Iterator[tuple[str, str]]:
    """Yield (project file, what is wrong) for each file below `root` that differs from the one that a job ran."""
    ran: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for job in jobs:
        code = job.block.get("code")
        for file, sha in code.items() if isinstance(code, dict) else ():
            ran[file][sha].append(job.path)
    for file, hashes in sorted(ran.items()):
        now = sha256(root / file) if (root / file).is_file() else None
        if others := [path for sha, paths in hashes.items() if sha != now for path in paths]:
            what = "is missing" if now is None else "has changed"
            yield file, f"{what} since {named(others)} ran it: run `make all` again"


def named(paths: Iterable[str]) -> str:
    """Return the first of several files and the number of the others."""
    first, *rest = sorted(paths)
    return first + (f" (and {len(rest)} more)" if rest else "")


def _edited_records(run: Run, again: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Yield records that differ from their copies in trails.json while the tables do not follow either."""
    trails = run.json(TRAILS)
    tables = sorted(path for path in again if path.startswith("results/tables/"))
    if TRAILS in again and tables and isinstance(trails, dict):
        for path, copied in trails.items():
            with contextlib.suppress(UserError, KeyError, TypeError, AttributeError):
                if run.has(path) and trail(run.file(path)) != copied:
                    yield path, f"was edited after {TRAILS} and {named(tables)} were made from it"


def _own(run: Run, names: list[str]) -> Iterator[tuple[str, str]]:
    """Yield files that are unreadable, misplaced, or do not match the hash that they contain of themselves."""
    for name in names:
        if name.endswith(".json") and run.json(name) is None:
            yield name, "is not valid JSON"
        elif name.startswith("results/cells/") and name.endswith("/timing.json"):
            body = run.json(name)
            cell = body.get("cell") if isinstance(body, dict) else None
            ident = cell.get("id") if isinstance(cell, dict) else None
            if ident != PurePosixPath(name).parent.relative_to("results/cells").as_posix():
                yield name, f"is the record of another cell ({ident})"
    for origin in run.origins().values():
        for entry in origin.block.get("outputs") or []:
            seals_itself = (
                isinstance(entry, dict) and "content_sha256" in entry and origin.path == entry.get("path")
            )
            if seals_itself and content(run.json(origin.path)) != entry["content_sha256"]:
                yield origin.path, CHANGED
        if "self_sha256" in origin.block and self_hash(origin.block) != origin.block["self_sha256"]:
            yield origin.path, CHANGED


def _recorded(run: Run) -> dict[str, dict[str, str]]:
    """Return the SHA-256 that jobs recorded of each file: {path: {file with the job's provenance: hash}}."""
    hashes: dict[str, dict[str, str]] = defaultdict(dict)
    for origin in run.origins().values():
        for path, sha in (*origin.inputs, *origin.outputs):
            hashes[path][origin.path] = sha
    return hashes


def _against_recorded(
    run: Run, hashes: dict[str, dict[str, str]], faults: dict[str, str], notes: list[str], outside: bool
) -> None:
    """Add to `faults` each file that differs from what a job recorded.

    From the highest level down: jobs with a faulty file of their own are ignored. One job that recorded another hash is
    enough, since a forger can make any number of others agree. outside: whether to check files outside of the results.
    """
    absent = []
    for path in sorted(hashes, key=lambda name: (-level(name), not is_sidecar(name), name)):
        inside = path.startswith("results/")
        if not inside and not outside:
            continue
        actual = run.sha(path)
        if actual is None and (not inside or path in run.apart):
            absent.append(path)
            continue
        against = [job for job, sha in hashes[path].items() if sha != actual and job not in faults]
        if against:
            what = "is missing" if actual is None else "is not the file it was"
            faults.setdefault(path, f"{what}: {named(against)} recorded another SHA-256")
    if absent:
        notes.append(f"{named(absent)}, outside of the results or kept apart, is not here to be compared")


def _listed(run: Run, names: list[str], hashes: dict[str, dict[str, str]]) -> Iterator[tuple[str, str]]:
    """Yield lists of the workflow that name unknown files, or other records than those of the study's cells."""
    for name in names:
        if not (name.startswith(f"{LISTS}/") and name.endswith(".txt")):
            continue
        lines = [line for line in run.text(name).splitlines() if line]
        lost = [line for line in lines if not run.has(line) and line not in hashes]
        if lost:
            yield name, f"names {lost[0]}, which no job of the run wrote or read"
        elif name == INPUTS:
            try:
                records = set(sort_paths(run.file(name)).get("records", []))
            except UserError as error:
                yield name, error.what
                continue
            plan = plan_of(run)
            asked = set(map(plan.record, plan.cells)) if plan else records
            if odd := sorted(records ^ asked):
                yield name, f"{'names' if odd[0] in records else 'lacks'} {odd[0]}, against {STUDY}"


def plan_of(run: Run) -> Plan | None:
    """Return the workflow's plan of the recorded study; None if this version cannot read the study."""

    def read() -> Plan | None:
        from pardec.study.plan import Plan

        try:
            return Plan(run.json(STUDY), [], str(ROOT), [])
        except (UserError, ValueError, TypeError, KeyError, AttributeError):
            return None

    return run.once("plan", read)


def _given(run: Run) -> Iterator[tuple[str, str]]:
    """Yield files whose jobs got other arguments than the recorded study asks for; the study itself if all did."""
    study = run.json(STUDY)
    with contextlib.suppress(KeyError, TypeError, AttributeError):  # a study of another version
        if run.has(QUALITIES) and run.json(QUALITIES) != asked_of_tables(study):
            yield QUALITIES, f"does not follow from {STUDY}"
    jobs: dict[str, list[tuple[str, str | None]]] = defaultdict(list)
    for path, asked in _asked(run):
        block = run.origins()[path].block if path in run.origins() else {}
        given = flags(_words(block.get("command")))
        wanted = as_then(flags(asked), given, study)
        wrong = next((name for name, one in wanted.items() if given.get(name) != one), None)
        if given:
            jobs[str(block.get("rule"))].append((path, wrong))
    for rule, entries in jobs.items():
        against = [path for path, wrong in entries if wrong]
        if len(against) > 1 and len(against) == len(entries):
            yield STUDY, f"asks {rule} for another `{entries[0][1]}` than {named(against)} was given"
        else:
            yield from (
                (path, f"was given another `{wrong}` than {STUDY} asks for")
                for path, wrong in entries
                if wrong
            )


def as_then(side: dict[str, Any], given: Any, study: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of one side of a cell, or of its job, without settings that this version has added: those
    that neither the job was given nor the recorded study names, which lists every setting of its version."""
    arm = (study.get("arms") or {}).get(side.get("arm")) or {}
    inner = {name: side[name] for name in ("cell", "reference") if isinstance(side.get(name), dict)}
    changed = (
        {name: as_then(one, given.get(name), study) for name, one in inner.items()}
        if isinstance(given, dict)
        else {}
    )
    if isinstance(given, dict) and "settings" in side:
        changed["settings"] = _known(side["settings"], given.get("settings"), arm.get("settings"))
    return {**side, **changed}


def _known(asked: Any, given: Any, named: Any) -> Any:
    if not all(isinstance(one, dict) for one in (asked, given, named)):
        return asked
    return {
        key: _known(one, given.get(key), named.get(key))
        for key, one in asked.items()
        if key in given or key in named
    }


def _asked(run: Run) -> Iterator[tuple[str, list[str]]]:
    """Yield (file with a job's provenance, arguments that the study makes its rule pass to the script)."""
    plan = plan_of(run)
    if plan is None:
        return
    yield from ((plan.record(cell), ["--cell", plan.cell_json(cell)]) for cell in plan.cells)
    for output, cell in plan.outputs.items():
        words = [*plan.arm_words(cell), *plan.workload_words(cell), *plan.engine_words(cell)]
        yield f"results/quality/{output}/outputs.provenance.json", words
        yield f"results/quality/{output}/score.json", plan.metric_words(cell)
    for name in plan.study.data:
        yield f"results/data/{name}/provenance.json", ["--settings", plan.data_settings(name)]


def _words(command: Any) -> list[str]:
    try:
        return shlex.split(command or "")
    except ValueError:
        return []
