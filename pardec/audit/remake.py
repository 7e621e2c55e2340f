"""Remake every file derived from the records in a scratch folder, with the scripts of the workflow's rules.

A script runs with the arguments of its rule; no argument is taken from the run, so forged commands have no effect. In
the scratch folder, `results` links the run's raw files. A file that matches is replaced by the run's, one that differs
stays as remade: later files are compared on correct inputs, and only those that were changed are reported. Jobs that do
not read from each other run at the same time, in forks of this process, which has imported what all of them need.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import cache, partial
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from pardec.audit.difference import UNSEEN, difference
from pardec.audit.run import Run
from pardec.common import host
from pardec.common.files import sha256
from pardec.evidence.crate import NAME, WORKFLOW, copy_name
from pardec.evidence.provenance import ROOT, unrecorded
from pardec.evidence.tables.registry import FILES, TABLES, needs
from pardec.report.figures.registry import FIGURES

LISTS = "results/lists"
INPUTS = f"{LISTS}/inputs.txt"
SINGLE = ("machine", "floors")
"""Files passed to a table's script by name."""
LISTED = [kind for kind in FILES if kind not in (*SINGLE, "ideas_file")]
"""Kinds of files passed to it in a list. The ideas are the user's file, not one of the results."""
COMPARED = (
    *(f"results/{name}.json" for name in ("values", "claims", "verdicts", "study", "machine")),
    "results/tables/cells.parquet",
)
"""Files of a run that are compared with those of the published one, beside its records."""
IMPORTED = (
    "pandas",
    "pandera.pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "matplotlib.figure",
    "jinja2",
    "lxml.etree",
)
"""Libraries that the scripts import, imported once before forking."""
Wrong = list[tuple[str, str]]
T = TypeVar("T")


@dataclass(frozen=True)
class Stage:
    """One job above the records.

    outputs: files it makes; the first one's sidecar is the job's. words: arguments of the script. outside: files of
    the project it reads by these names.
    """

    script: str
    outputs: tuple[str, ...]
    words: tuple[str, ...]
    outside: tuple[str, ...] = ()

    @property
    def sidecar(self) -> str:
        """Return the path of the stage's provenance file, beside its first output."""
        return PurePosixPath(self.outputs[0]).with_suffix(".provenance.json").as_posix()

    def reads(self, other: Stage) -> bool:
        """Return whether an output of `other`, or its folder, is an argument of this one."""
        if other is self:
            return False
        names = {
            part.as_posix()
            for out in other.outputs
            for part in (PurePosixPath(out), PurePosixPath(out).parent)
        }
        return self.script == "describe_run" or bool(names & set(self.words))


def stages(run: Run, given: Callable[[str], str] | None = None) -> Iterator[Stage]:
    """Yield the jobs that made the run's files above its records, each after those it reads from.

    given: returns where a file of the user's lies, by default the run's copy.
    """
    where = given or partial(_given, run)
    for name, rule in (("study", ()), ("floors", ("--rule", "record_floors"))):
        path = f"results/{name}.json"
        recorded = _params(run, f"results/{name}.provenance.json").get("study")
        if recorded is not None:
            words = ("--study", json.dumps(recorded), *rule, "--out", path)
            yield Stage("record_study", (path,), words)
    study = run.json("results/study.json")
    study = study if isinstance(study, dict) else {}
    claims = [where(path) for path in study.get("claims") or ["studies/claims.yaml"]]
    ideas = where(study.get("ideas") or "studies/ideas.yaml")
    for name in TopologicalSorter({name: _below(name) for name in TABLES}).static_order():
        files = tuple(f"results/tables/{name}.{end}" for end in ("csv", "parquet"))
        ideas_words = ("--ideas-file", ideas) if "ideas_file" in needs(name) else ()
        yield Stage("tabulate", files, ("--table", name, *_table_words(name), *ideas_words, *_outs(files)))
    values = ("results/values.json", "results/values.tex")
    words = ("--tables", "results/tables", "--out-json", values[0], "--out-tex", values[1])
    yield Stage("collect_values", values, words)
    yield _single("collect_trails", "trails", "--inputs-from", INPUTS)
    yield _single(
        "judge_claims", "claims", "--claims", *claims, "--values", values[0], "--tables", "results/tables"
    )
    words = ("--ideas", ideas, "--values", values[0], "--table", "results/tables/ideas.parquet")
    yield _single("judge_ideas", "verdicts", *words)
    for name in FIGURES:
        figure = FIGURES.load(name)
        tables = [f"results/tables/{table}.parquet" for table in (*figure.tables, *figure.optional)]
        files = tuple(f"results/figures/{name}.{end}" for end in ("svg", "png"))
        yield Stage("draw_figure", files, ("--figure", name, "--tables", *tables, *_outs(files)))
    yield _comparison(run)
    yield _single("collect_jobs", "jobs", "--papers-from", f"{LISTS}/jobs.txt")
    yield _report(run)
    # The crate gives the size of every file, also of those that the archive keeps apart.
    lost = (
        ("The folder of weights beside the archive",) if any(not run.has(name) for name in run.apart) else ()
    )
    crate = _crate(run)
    yield replace(crate, outside=(*lost, *crate.outside))


def _single(script: str, name: str, *words: str) -> Stage:
    path = f"results/{name}.json"
    return Stage(script, (path,), (*words, "--out", path))


def _outs(files: tuple[str, ...]) -> list[str]:
    return [word for file in files for word in (f"--out{file[file.rindex('.') :].replace('.', '-')}", file)]


def _below(table: str) -> list[str]:
    return [name for name in needs(table) if name not in FILES]


def _table_words(name: str) -> list[str]:
    wanted, below = needs(name), _below(name)
    words = ["--inputs-from", INPUTS] if set(LISTED) & set(wanted) else []
    for single in SINGLE:
        words += [f"--{single}", f"results/{single}.json"] if single in wanted else []
    return words + (["--tables", *(f"results/tables/{one}.parquet" for one in below)] if below else [])


def _comparison(run: Run) -> Stage:
    """Return the comparison's stage; it needs the archive that the run was compared with, and no later one."""
    body = run.json("results/comparison.json")
    archive = (body.get("archive") if isinstance(body, dict) else None) or {}
    path, sha = archive.get("path"), archive.get("sha256")
    words = ["--inputs-from", INPUTS, "--files", *COMPARED]
    if path is None:
        return _single("compare_published", "comparison", *words)
    here = [file for file in (run.path(str(path)), ROOT / str(path)) if file is not None and file.is_file()]
    known = bool(here) and sha256(here[0]) == sha
    outside = (str(path),) if known else (f"The published run {str(sha)[:12]}",)
    return replace(
        _single("compare_published", "comparison", *words, "--archive", str(path)), outside=outside
    )


def _report(run: Run) -> Stage:
    """Return the page's stage; the page quotes the outputs whose scores the tables use."""
    listed = run.text(INPUTS).splitlines() if run.has(INPUTS) else []
    scores = [PurePosixPath(line) for line in listed if line.endswith("/score.json")]
    named = ("values", "study", "claims", "verdicts", "trails", "jobs", "comparison")
    words = [word for name in named for word in (f"--{name}", f"results/{name}.json")]
    words += ["--tables", "results/tables", "--figures", "results/figures"]
    words += ["--outputs", *(path.with_name("outputs.jsonl").as_posix() for path in scores)]
    files = ("results/report.html", "results/report.packed.html")
    return Stage("render_report", files, (*words, "--out", files[0], "--out-packed", files[1]))


def _crate(run: Run) -> Stage:
    """Return the crate's stage; agent and Snakemake version are taken from the crate, their only record."""
    workflow = _params(run, f"results/{PurePosixPath(NAME).stem}.provenance.json").get("workflow") or []
    workflow = tuple(map(str, [workflow] if isinstance(workflow, str) else workflow))
    words = ["--papers-from", f"{LISTS}/papers.txt", "--study", "results/study.json", "--out", "results"]
    body = run.json(f"results/{NAME}")
    for entity in (body.get("@graph") or []) if isinstance(body, dict) else []:
        if entity.get("@id") == "#agent":
            words += ["--agent", str(entity.get("name"))]
        if "ComputerLanguage" in (entity.get("@type") or ()):
            words += ["--engine", str(entity.get("version"))]
    return Stage("describe_run", (f"results/{NAME}",), (*words, "--workflow", *workflow), workflow)


def _params(run: Run, sidecar: str) -> dict[str, Any]:
    body = run.json(sidecar)
    params = body.get("params") if isinstance(body, dict) else None
    return params if isinstance(params, dict) else {}


def remake(run: Run, notes: list[str], cores: int | None = None) -> Iterator[tuple[str, str]]:
    """Yield (file, what is wrong) for every file above the records that does not follow, inputs before outputs.

    notes: receives a line on comparisons that are not byte by byte. cores: processes at once, by default all cores.
    """
    wrong: dict[int, Wrong] = {}
    with _scratch(run) as folder:
        todo = []
        for stage in stages(run):
            # A stage without any file: this study has none, or its traces were removed, which files above would show.
            if any(map(run.has, (*stage.outputs, stage.sidecar))):
                if lost := [path for path in stage.outside if not _bring(run, path, folder)]:
                    notes.append(f"{lost[0]} is not here: {', '.join(stage.outputs)} were not made again")
                    for name in stage.outputs:
                        _link(run, name, folder)
                else:
                    todo.append(stage)
        for k, faults in in_order(todo, partial(_again, run, folder), cores):
            wrong[k] = faults
        elsewhere = sum(not _alike(run, stage.sidecar) for stage in todo)
    if elsewhere:
        unseen = "/".join(UNSEEN).replace(".", "").upper()
        notes.append(
            f"{elsewhere} jobs ran on another processor or with other libraries: their files were compared by what "
            f"they say, not byte by byte, and {unseen} pictures not at all"
        )
    yield from (fault for k in sorted(wrong) for fault in wrong[k])


def in_order(todo: Sequence[Stage], call: Callable[[Stage], T], cores: int | None) -> Iterator[tuple[int, T]]:
    """Yield (place in `todo`, what `call` returned) of each stage, run after those that it reads from.

    cores: processes at once, by default all cores.
    """
    after = {k: [j for j, other in enumerate(todo) if stage.reads(other)] for k, stage in enumerate(todo)}
    order = TopologicalSorter(after)
    running: dict[Future, int] = {}
    order.prepare()
    with _executor(cores) as executor:
        while order.is_active():
            running |= {executor.submit(call, todo[k]): k for k in order.get_ready()}
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                k = running.pop(future)
                yield k, future.result()
                order.done(k)


def _again(run: Run, folder: Path, stage: Stage) -> Wrong:
    """Run a stage and compare what it made; return (file, what is wrong)."""
    failed, exact = run_script(stage.script, stage.words), _alike(run, stage.sidecar)
    wrong: Wrong = []
    for name in filter(run.has, stage.outputs):
        made = folder / name
        why: str | None = f"cannot be made from the files beneath it ({failed or 'nothing was written'})"
        if made.is_file():
            why = difference(made, run.file(name), exact)
        if why is None:
            _link(run, name, folder)
        else:
            wrong.append((name, why))
    return wrong


class _Here(Executor):
    """Runs what is submitted at once, in this process."""

    def submit(self, call: Callable[..., Any], /, *args: Any, **options: Any) -> Future:
        future: Future = Future()
        future.set_result(call(*args, **options))
        return future


def _executor(cores: int | None) -> Executor:
    cores = cores or len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    if cores == 1:
        return _Here()
    for name in IMPORTED:
        importlib.import_module(name)
    return ProcessPoolExecutor(cores, multiprocessing.get_context("fork"))


@contextlib.contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """Yield a folder whose `results` links the run's raw files, without the files to remake."""
    remade = {name for stage in stages(run) for name in stage.outputs}
    with tempfile.TemporaryDirectory(prefix="pardec-") as name:
        folder = Path(name)
        kept = {PurePosixPath(name).parts[1] for name in remade if name.count("/") > 1}
        (folder / "results").mkdir()
        for entry in run.folder.iterdir():
            if entry.name not in kept and f"results/{entry.name}" not in remade and entry.name != WORKFLOW:
                (folder / "results" / entry.name).symlink_to(entry.resolve())
        for inside in kept:
            (folder / "results" / inside).mkdir()
        for stage in stages(run):
            _link(run, stage.sidecar, folder)
        with contextlib.chdir(folder):
            yield folder


def _link(run: Run, name: str, folder: Path) -> None:
    """Replace a file in the scratch folder by a link to the run's."""
    (folder / name).unlink(missing_ok=True)
    if run.has(name):
        (folder / name).symlink_to(run.file(name))


def _given(run: Run, path: str) -> str:
    """Return the path of a file of the user's: the run's copy, else the one beside the results, else the project's."""
    here = [run.path(f"results/{WORKFLOW}/{copy_name(path)}"), run.path(path), ROOT / path]
    return str(next((file for file in here if file is not None and file.is_file()), path))


def _bring(run: Run, path: str, folder: Path) -> bool:
    """Link a file of the project in the scratch folder; False where there is none, or where it lies outside."""
    source = Path(_given(run, path))
    if path != copy_name(path) or not source.is_file():
        return False
    if not (folder / path).exists():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(source.resolve())
    return True


def _alike(run: Run, sidecar: str) -> bool:
    """Return whether a job ran on this processor with these libraries; true if its sidecar is missing."""
    block = run.json(sidecar)
    block = block if isinstance(block, dict) else {}
    then, now = block.get("environment") or {}, host.environment()
    same = all(then.get(key) in (None, now.get(key)) for key in ("python", "torch", "packages_sha256"))
    machine = block.get("machine")
    # A name alone is no processor: last digits differ between two generations that are called the same.
    kind = (host.cpu_name(), host.cpu_kind())
    return same and (not machine or (machine.get("cpu"), machine.get("cpu_kind")) == kind)


def run_script(script: str, words: Sequence[str], record: bool = False) -> str | None:
    """Run a script of the workflow in this process and the working directory; return the reason if it fails.

    record: whether its outputs get their provenance.
    """
    text = io.StringIO()
    argv, sys.argv = sys.argv, [str(ROOT / "scripts" / f"{script}.py"), *words]
    try:
        quiet = contextlib.nullcontext() if record else unrecorded()
        with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text), quiet:
            _main(script)()
    except SystemExit as end:
        return _line(text.getvalue() or f"exit status {end.code}") if end.code else None
    except Exception as error:  # whatever a damaged input makes the code raise
        return _line(str(error) or repr(error))
    finally:
        sys.argv = argv
    return None


def _line(text: str) -> str:
    return text.strip().splitlines()[0].removeprefix("error: ")[:160]


@cache
def _main(script: str) -> Callable[[], Any]:
    path = ROOT / "scripts" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(f"pardec_script_{script}", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main
