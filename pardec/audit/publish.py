"""Publish a finished run: its archive, its page, the appendix of its claims, and, apart from them, its weights."""

from __future__ import annotations

import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from statistics import mean
from typing import Any

from pardec.audit.appendix import appendix
from pardec.audit.archive import LEVEL, write_archive
from pardec.audit.run import Origin, Run
from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, write_json, write_text
from pardec.evidence.crate import NAME
from pardec.models.sources.restored import WEIGHTS, code_of, find, publish
from pardec.study.plan import PAPER

ARCHIVE = "run.tar.zst"
PAGE, APPENDIX, SECONDS = "report.html", "claims.md", "seconds.json"
PICTURE = "results/figures/pareto.png"
TRAINED = ("train_model", "adapt_model")
"""Rules that train."""
NEEDED = ("values", "claims", "verdicts", "study", "trails", "jobs")
AGAIN = "run `make paper`, then `make publish`"


def publish_run(
    run: Run, to: Path, picture: Path | None = None, derived: bool = False, level: int = LEVEL
) -> list[Path]:
    """Write `run` to the folder `to`, and return the written files.

    `to`/<study>/ gets archive, page and appendix; `to`/weights/ the weights of every model that the paper's run
    trained. Another study's weights are below its own folder, without those that the paper has. Weights that it
    fetched are published by others: the archive names them by their hash only.
    picture: gets a copy of the figure `pareto`. derived: whether all above the records was made again elsewhere, so
    that its jobs do not say how long the run took. level: of the archive's compression.

    Raises:
        UserError: the run is unfinished, or its models were trained by code that has changed since.
    """
    needed = [*(f"results/{name}.json" for name in NEEDED), f"results/{NAME}", f"results/{PAGE}"]
    for name in [*needed, *([PICTURE] if picture else [])]:
        if not run.has(name):
            raise UserError(f"{run.label}: {name}", "is missing", AGAIN)
    models = dict(trained(run))
    for path, origin in models.items():
        recipe = origin.block["recipe"]
        if code_of(recipe) != recipe["code_sha256"]:
            raise UserError(f"{run.label}: {path}", "was trained by code that has changed since", AGAIN)
    study = run.json("results/study.json")["name"]
    folder = to / study
    weights, shared = (to / WEIGHTS, []) if study == PAPER else (folder / WEIGHTS, [to / WEIGHTS])
    new = [path for path, origin in models.items() if find(shared, origin.block["recipe"]) is None]
    written = [publish(weights, run.file(path).parent, models[path].block, agent(run)) for path in new]
    written += [path.with_suffix(".safetensors") for path in written]
    for file in sorted(weights.glob("*")):
        if file not in written:
            file.unlink()  # of a model that this run does not have
    apart = weights_of(run)
    write_archive(run, folder / ARCHIVE, apart, level)
    copies = {folder / PAGE: f"results/{PAGE}", **({picture: PICTURE} if picture else {})}
    for target, name in copies.items():
        with atomic(target) as temporary:
            shutil.copyfile(run.file(name), temporary)
    write_text(folder / APPENDIX, appendix(run))
    if not (derived and (folder / SECONDS).is_file()):
        write_json(folder / SECONDS, seconds(run.json("results/jobs.json")["jobs"]))
    return [*written, folder / ARCHIVE, *copies, folder / APPENDIX, folder / SECONDS]


def seconds(jobs: Iterable[dict[str, Any]]) -> dict[str, float]:
    """Return the mean seconds of each rule's jobs, by which the first run elsewhere says how long it takes."""
    spent: dict[str, list[float]] = defaultdict(list)
    for job in jobs:
        begin, end = (datetime.fromisoformat(job[name]) for name in ("start", "end"))
        spent[job["rule"]].append((end - begin).total_seconds())
    return {rule: round(mean(values), 3) for rule, values in sorted(spent.items())}


def trained(run: Run) -> Iterator[tuple[str, Origin]]:
    """Yield (file with its provenance, that provenance) of each model that the workflow trained or restored.

    Raises:
        UserError: a model has no recipe.
    """
    for path, origin in run.origins().items():
        if origin.block.get("rule") in TRAINED:
            if "recipe" not in origin.block:
                raise UserError(f"{run.label}: {path}", "contains no recipe", AGAIN)
            yield path, origin


def weights_of(run: Run) -> list[str]:
    """Return the files of weights of all models."""
    folders = [
        str(Path(path).parent)
        for path, one in run.origins().items()
        if one.block.get("rule") in (*TRAINED, "fetch_model")
    ]
    return [
        name for name in run.files() if name.endswith(".safetensors") and str(Path(name).parent) in folders
    ]


def agent(run: Run) -> str:
    """Return who ran a run, as its crate says."""
    graph = (run.json(f"results/{NAME}") or {}).get("@graph") or []
    return next((str(one.get("name")) for one in graph if one.get("@id") == "#agent"), "unknown")


def stale(published: Path, settings: dict[str, tuple[dict, int]]) -> list[str]:
    """Return, in words, each published recipe that is no longer that of its model.

    published: the folder of weights. settings: settings and seed of each model that the study trains now, by name.
    """
    wrong = []
    for path in sorted(published.glob("*.json")):
        recipe, name = read_json(path)["recipe"], path.stem
        if name not in settings:
            wrong.append(f"{name}: the study has no such model")
        elif (recipe["settings"], recipe["seed"]) != settings[name]:
            wrong.append(f"{name}: the study asks for other settings")
        elif recipe["code_sha256"] != code_of(recipe):
            wrong.append(f"{name}: the code that trains it has changed")
    known = {path.stem for path in published.glob("*.json")}
    return [*wrong, *(f"{name}: its weights are not published" for name in settings if name not in known)]
