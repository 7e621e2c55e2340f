"""Derive everything above a run's records again with the code here, without measuring.

Records, outputs and scores keep their bytes and their provenance. Tables, figures, values, verdicts, page and crate are
made by the scripts of the workflow, and their provenance says when and by which code.
"""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from pardec.audit.remake import LISTS, Stage, in_order, run_script, stages
from pardec.audit.run import Run
from pardec.audit.verify import SCORES, level, plan_of
from pardec.common.errors import UserError
from pardec.common.files import write_text
from pardec.evidence.crate import WORKFLOW, copy_name
from pardec.evidence.provenance import ROOT, sidecar
from pardec.report.figures.choice import figures_for
from pardec.study.kinds import asked_of_tables
from pardec.study.plan import Plan

CODE = ("Snakefile", "rules", "scripts", "report")
"""Files and folders of the project that jobs read by these names."""
FLOORS = "results/floors.json"
"""The part of the study that tables read: made again, unlike the study itself, which says what was asked."""
EARLIER = "earlier"
"""Folder for the run's copies of the workflow's files, as they were."""


def derive(run: Run, cores: int | None = None) -> Run:
    """Replace every file of `run`, an unpacked archive, that follows from its records; return the run as it then is.

    cores: processes at once, by default all cores.

    Raises:
        UserError: a file is damaged, kept apart and missing, or cannot be made by this version.
    """
    run.refuse_damage()
    if lost := [name for name in sorted(run.apart) if not run.has(name)]:
        fix = "put the folder of published weights beside that of the archive"
        raise UserError(f"{run.label}: {lost[0]}", "is kept apart from the archive and is not here", fix)
    plan = plan_of(run)
    folder = run.folder.parent
    todo = _wanted(run, plan)
    listed = {name: run.text(f"{LISTS}/{name}.txt").splitlines() for name in ("jobs", "papers")}
    with contextlib.chdir(folder):
        files = _lay_out(run)
        _remove(run)
        evidence = [
            stage for stage in todo if stage.script not in ("collect_jobs", "render_report", "describe_run")
        ]
        _make(run, evidence, cores)
        _list("jobs", listed["jobs"], evidence)
        last = [replace(stage, words=_words(stage, files)) for stage in todo if stage not in evidence]
        _make(run, last[:2], 1)
        _list("papers", listed["papers"], todo[:-1])
        _make(run, last[2:], 1)
        shutil.rmtree(EARLIER, ignore_errors=True)
    return Run(run.folder, run.label)


def _wanted(run: Run, plan: Plan | None) -> list[Stage]:
    """Return the stages to run: what this version makes of such records. The study stays as it is; figures are chosen
    by it where this version can read it, else they are those that the run has."""
    drawn = figures_for(plan.cells.values()) if plan else None
    wanted = []
    for stage in stages(run, given=copy_name):
        words = list(stage.words)
        if stage.script == "record_study":
            if stage.outputs[0] != FLOORS:
                continue
            words[words.index("--study") + 1] = json.dumps(asked_of_tables(run.body("study.json")))
        elif stage.script == "draw_figure":
            if not (run.has(stage.outputs[0]) if drawn is None else words[1] in drawn):
                continue
        elif stage.script == "compare_published" and "--archive" in words:
            del words[words.index("--archive") : words.index("--archive") + 2]  # it may be this very run
        wanted.append(replace(stage, words=tuple(words)))
    return wanted


def _lay_out(run: Run) -> list[str]:
    """Link the project's files in the working directory, beside the results, under the names that jobs use.

    Returns the workflow's files for the crate: code, claims and ideas as they are here, the study's files as they were.
    """
    copies = run.folder / WORKFLOW
    if copies.is_dir():
        copies.rename(EARLIER)
    for name in CODE:
        Path(name).symlink_to(ROOT / name)
    study = run.json("results/study.json") or {}
    judging = [*(study.get("claims") or ["studies/claims.yaml"]), study.get("ideas") or "studies/ideas.yaml"]
    for path in judging:
        _link(path, (ROOT / path, Path(EARLIER) / copy_name(path)))
    code = [
        path.relative_to(ROOT).as_posix()
        for end in ("rules/*.smk", "scripts/*.py")
        for path in sorted(ROOT.glob(end))
    ]
    before = _listed_workflow(run)
    study_files = [
        path for path in before if path != "Snakefile" and Path(path).parts[0] not in ("rules", "scripts")
    ]
    for path in study_files:
        _link(path, (Path(EARLIER) / copy_name(path), ROOT / path))
    return ["Snakefile", *code, *dict.fromkeys(map(copy_name, [*study_files, *judging]))]


def _listed_workflow(run: Run) -> list[str]:
    crate = [stage for stage in stages(run) if stage.script == "describe_run"]
    return list(crate[0].outside) if crate else []


def _link(path: str, sources: Iterable[Path]) -> None:
    """Link the first of `sources` that exists under a file's name in the working directory."""
    name = Path(copy_name(path))
    source = next((one for one in sources if one.is_file()), None)
    if source is not None and not name.exists():
        name.parent.mkdir(parents=True, exist_ok=True)
        name.symlink_to(source.resolve())


def _remove(run: Run) -> None:
    """Remove every file that follows from the study and the records, and its sidecar."""
    for name in run.files():
        floors = name in (FLOORS, sidecar(FLOORS).as_posix())
        if floors or (level(name) > SCORES and not name.startswith(f"{LISTS}/")):
            Path(name).unlink(missing_ok=True)


def _words(stage: Stage, workflow: Sequence[str]) -> tuple[str, ...]:
    """Return a stage's words with the page's templates and the crate's files as they are named here."""
    if stage.script == "render_report":
        return (*stage.words, "--templates", "report")
    if stage.script == "describe_run":
        return (*stage.words[: stage.words.index("--workflow") + 1], *workflow)
    return stage.words


def _list(name: str, before: Iterable[str], made: Iterable[Stage]) -> None:
    """Write a list of the files with the jobs' provenance: those of the records, then of what was `made` again."""
    again = [stage.sidecar for stage in made]
    kept = [path for path in before if path not in again and Path(path).is_file()]
    write_text(f"{LISTS}/{name}.txt", "".join(f"{path}\n" for path in [*kept, *again]))


def _make(run: Run, todo: Sequence[Stage], cores: int | None) -> None:
    for k, failed in in_order(todo, _made, cores):
        if failed:
            raise UserError(
                f"{run.label}: {todo[k].outputs[0]}",
                f"cannot be made again by this version ({failed})",
                "check out the version that made the run, or run the study again",
            )


def _made(stage: Stage) -> str | None:
    return run_script(stage.script, stage.words, record=True)
