"""Remake every file derived from the records in a scratch folder, with the scripts of the workflow's rules.

A script runs in this process, with the arguments of its rule; no argument is taken from the run, so forged commands
have no effect. In the scratch folder, `results` links the run's raw files. After comparison, a matching file is
replaced by the run's copy, and a differing one stays as remade. Later files are thus compared on correct inputs, and
only the files that were changed are reported.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import json
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path, PurePosixPath
from typing import Any

from pardec.audit.difference import UNSEEN, difference
from pardec.audit.run import Run
from pardec.common import host
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


@dataclass(frozen=True)
class Stage:
    """One job above the records.

    outputs: files it makes; the first one's sidecar is the job's. words: arguments of the script. outside: files it
    reads outside of the results.
    """

    script: str
    outputs: tuple[str, ...]
    words: tuple[str, ...]
    outside: tuple[str, ...] = ()

    @property
    def sidecar(self) -> str:
        return PurePosixPath(self.outputs[0]).with_suffix(".provenance.json").as_posix()


def stages(run: Run) -> Iterator[Stage]:
    """Yields the jobs that made the run's files above its records, each after those it reads from."""
    for name, rule in (("study", None), ("floors", "record_floors")):
        path = f"results/{name}.json"
        recorded_study = _params(run, f"results/{name}.provenance.json").get("study")
        if recorded_study is not None:
            words = (
                "--study",
                json.dumps(recorded_study),
                *(("--rule", rule) if rule else ()),
                "--out",
                path,
            )
            yield Stage("record_study", (path,), words)
    study = run.json("results/study.json")
    study = study if isinstance(study, dict) else {}
    claims, ideas = study.get("claims") or ["studies/claims.yaml"], study.get("ideas") or "studies/ideas.yaml"
    for name in _in_order():
        files = tuple(f"results/tables/{name}.{end}" for end in ("csv", "parquet"))
        asked = "ideas_file" in needs(name)
        given = ("--ideas-file", ideas) if asked else ()
        words = ("--table", name, *_table_words(name), *given, *_outs(files))
        yield Stage("tabulate", files, words, (ideas,) if asked else ())
    values = ("results/values.json", "results/values.tex")
    yield Stage(
        "collect_values",
        values,
        ("--tables", "results/tables", "--out-json", values[0], "--out-tex", values[1]),
    )
    yield _single("collect_trails", "trails", "--inputs-from", INPUTS)
    words = ("--claims", *claims, "--values", values[0], "--tables", "results/tables")
    yield _single("judge_claims", "claims", *words, outside=tuple(claims))
    words = ("--ideas", ideas, "--values", values[0], "--table", "results/tables/ideas.parquet")
    yield _single("judge_ideas", "verdicts", *words, outside=(ideas,))
    for name in FIGURES:
        figure = FIGURES.load(name)
        tables = [f"results/tables/{table}.parquet" for table in (*figure.tables, *figure.optional)]
        files = tuple(f"results/figures/{name}.{end}" for end in ("svg", "png"))
        yield Stage("draw_figure", files, ("--figure", name, "--tables", *tables, *_outs(files)))
    yield _single("collect_jobs", "jobs", "--papers-from", f"{LISTS}/jobs.txt")
    yield _report(run)
    yield _crate(run)


def _single(script: str, name: str, *words: str, outside: tuple[str, ...] = ()) -> Stage:
    path = f"results/{name}.json"
    return Stage(script, (path,), (*words, "--out", path), outside)


def _outs(files: tuple[str, ...]) -> list[str]:
    return [word for file in files for word in (f"--out{file[file.rindex('.') :].replace('.', '-')}", file)]


def _in_order() -> list[str]:
    """Returns names of tables, each after those it is made from."""
    return list(TopologicalSorter({name: _tables_below(name) for name in TABLES}).static_order())


def _tables_below(name: str) -> list[str]:
    return [below for below in needs(name) if below not in FILES]


def _table_words(name: str) -> list[str]:
    wanted = needs(name)
    words = ["--inputs-from", INPUTS] if set(LISTED) & set(wanted) else []
    for single in SINGLE:
        words += [f"--{single}", f"results/{single}.json"] if single in wanted else []
    return words + (["--tables", "results/tables"] if _tables_below(name) else [])


def _report(run: Run) -> Stage:
    """Returns the page's stage; the page quotes the outputs whose scores the tables use."""
    listed = run.text(INPUTS).splitlines() if run.has(INPUTS) else []
    scores = [PurePosixPath(line) for line in listed if line.endswith("/score.json")]
    named = ("values", "study", "claims", "verdicts", "trails", "jobs")
    words = [word for name in named for word in (f"--{name}", f"results/{name}.json")]
    words += ["--tables", "results/tables", "--figures", "results/figures"]
    words += ["--outputs", *(path.with_name("outputs.jsonl").as_posix() for path in scores)]
    files = ("results/report.html", "results/report.packed.html")
    return Stage("render_report", files, (*words, "--out", files[0], "--out-packed", files[1]))


def _crate(run: Run) -> Stage:
    """Returns the crate's stage; agent and Snakemake version are taken from the crate, their only record."""
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


def remake(run: Run, notes: list[str]) -> Iterator[tuple[str, str]]:
    """Yields (file, what is wrong) for every file above the records that does not follow, inputs before outputs.

    notes: receives a line on comparisons that are not byte by byte.
    """
    elsewhere = 0
    with _scratch(run) as folder:
        for stage in stages(run):
            names = [name for name in stage.outputs if run.has(name)]
            if not names and not run.has(stage.sidecar):
                continue  # this study has none, or every trace of it was removed, which files above would show
            if lost := [path for path in stage.outside if not _bring(run, path, folder)]:
                notes.append(f"{lost[0]} is not here: {', '.join(names)} were not made again")
                for name in stage.outputs:
                    _link(run, name, folder)
                continue
            wrong = run_script(stage.script, stage.words)
            exact = _alike(run, stage.sidecar)
            elsewhere += not exact
            for name in stage.outputs:
                made = folder / name
                if not made.is_file():
                    yield name, f"cannot be made from the files beneath it ({wrong or 'nothing was written'})"
                elif why := difference(made, run.path(name), exact):
                    yield name, why
                else:
                    made.unlink()
                    made.symlink_to(run.path(name))
            _link(run, stage.sidecar, folder)
    if elsewhere:
        unseen = "/".join(UNSEEN).replace(".", "").upper()
        notes.append(
            f"{elsewhere} jobs ran on another processor or with other libraries: their files were compared by what "
            f"they say, not byte by byte, and {unseen} pictures not at all"
        )


@contextlib.contextmanager
def _scratch(run: Run) -> Iterator[Path]:
    """Yields a folder whose `results` links the run's raw files, without the files to remake."""
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
        (folder / name).symlink_to(run.path(name))


def _bring(run: Run, path: str, folder: Path) -> bool:
    """Bring a file of the project to the scratch folder: the run's copy, else the one beside the results, else that of
    this project. False where there is none, or where it lies outside of the project."""
    if path != copy_name(path):
        return False
    here = [run.path(f"results/{WORKFLOW}/{path}"), run.path(path), ROOT / path]
    source = next((file for file in here if file is not None and file.is_file()), None)
    if source is not None and not (folder / path).exists():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).symlink_to(source.resolve())
    return source is not None


def _alike(run: Run, sidecar: str) -> bool:
    """Returns whether a job ran on this processor with these libraries; true if unknown."""
    block = run.json(sidecar)
    block = block if isinstance(block, dict) else {}
    then, now = block.get("environment") or {}, host.environment()
    cpu = (block.get("machine") or {}).get("cpu")
    same = all(then.get(key) in (None, now.get(key)) for key in ("python", "torch", "packages_sha256"))
    return same and cpu in (None, host.cpu_name())


def run_script(script: str, words: Sequence[str]) -> str | None:
    """Run a script of the workflow in this process and the working directory; returns the reason if it fails."""
    printed = io.StringIO()
    argv, sys.argv = sys.argv, [str(ROOT / "scripts" / f"{script}.py"), *words]
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed), unrecorded():
            status = _main(script)()
    except SystemExit as end:
        status = end.code
    except Exception as error:  # whatever a damaged input makes the code raise
        return _line(str(error) or repr(error))
    finally:
        sys.argv = argv
    return _line(printed.getvalue() or f"exit status {status}") if status else None


def _line(text: str) -> str:
    return text.strip().splitlines()[0].removeprefix("error: ")[:160]


@cache
def _main(script: str) -> Callable[[], Any]:
    path = ROOT / "scripts" / f"{script}.py"
    spec = importlib.util.spec_from_file_location(f"pardec_script_{script}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main
