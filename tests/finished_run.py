"""A whole small run on disk: synthetic data, models and records, and all above them by the workflow's own scripts."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pardec.audit import remake
from pardec.audit.run import Run
from pardec.common import host
from pardec.common.closure import digest
from pardec.common.files import read_json, sha256, write_json, write_jsonl, write_text
from pardec.evidence import provenance
from pardec.evidence.provenance import ROOT, sealed, signed
from pardec.study.kinds import asked_of_tables
from tests import factories
from tests.report_constants import STUDY

CODE = ["pardec/common/files.py", "pardec/common/errors.py"]
"""Project files that the synthetic jobs claim to have run."""
FIGURES = ("pareto",)
FIGURE = "results/figures/pareto.svg"
PRINTED = "cells/noise/grid/mdm-grid/mdm/steps~4+new~32+batch~1/ratio"
"""The id of a value that the page links."""
SLOWER = "steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1"
"""The cell whose latencies are longer in the run that is slower."""
WORKFLOW = ("flow/Snakefile", "flow/config.yaml", "studies/claims.yaml", "studies/ideas.yaml")


def finished_run(folder: Path) -> Path:
    """Write a run below `folder`; return its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        paths = factories.write_study(folder)
        study = _study(paths)
        _data_and_models(study)
        for path in paths["scores"]:
            outputs = Path(path).with_name("outputs.jsonl")
            write_jsonl(outputs, [{"id": "held0", "prompt": "write", "text": path}])
            _beside(outputs.as_posix(), "generate_outputs", [])
            _seal(path, "score_cell", [outputs.as_posix()], f"--outputs {outputs}")
        machine = read_json("results/machine.json") | {"provenance": _origin("describe_machine", [], "")}
        write_json("results/machine.json", sealed("results/machine.json", machine))
        for path in paths["records"]:
            _record(path, study)
        for path in paths["likelihoods"]:
            _seal(path, "measure_likelihood", _model_files(Path(path).stem), "")
        write_text(remake.INPUTS, _lines([*paths["records"], *paths["scores"], *paths["likelihoods"]]))
        bring_workflow(folder)
        for name, body in _studies(study).items():
            write_json(f"results/{name}.provenance.json", {"params": {"study": body}})
        make_above(folder)
    return folder / "results"


def bring_workflow(folder: Path) -> None:
    """The project's files that scripts read, beside the results in `folder`."""
    for name in WORKFLOW:
        (folder / name).parent.mkdir(exist_ok=True)
        source = ROOT / name
        shutil.copyfile(source if source.is_file() else ROOT / source.name, folder / name)


PAGE = ("draw_figure", "collect_jobs", "render_report", "describe_run")
"""The scripts from which no value, claim or idea follows."""


def make_above(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Run the workflow's scripts, but some, on everything above the records of the run in `folder`."""
    state = provenance.git_state(ROOT)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(provenance, "git_state", lambda root: state)  # asked once, not by each job
        for stage in remake.stages(Run(Path("results"), "made")):
            words = list(stage.words)
            if stage.script in but or (stage.script == "draw_figure" and words[1] not in FIGURES):
                continue
            if stage.script == "collect_jobs":
                write_text("results/lists/jobs.txt", _lines(_papers("jobs", "report", "ro-crate-metadata")))
            if stage.script == "describe_run":
                write_text("results/lists/papers.txt", _lines(_papers("ro-crate-metadata")))
                words = [*words[: words.index("--workflow") + 1], *WORKFLOW]
            wrong = remake.run_script(stage.script, words, record=True)
            assert wrong is None, f"{stage.script} {words}: {wrong}"


def shifted(source: Path, target: Path, cells: str, factor: float, but: tuple[str, ...] = PAGE) -> list[str]:
    """A copy of a run in which the latencies of records whose path holds `cells` are longer by `factor`, and the values
    those of these latencies; what the scripts `but` make is the old one.

    Returns the ids of the cells that changed.
    """
    shutil.copytree(source, target / "results")
    bring_workflow(target)
    changed = []
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(target)
        for path in sorted(Path("results/cells").rglob("timing.json")):
            if cells in str(path):
                body = read_json(path)
                for sample in body["samples"]:
                    for key in ("e2e_ms", "first_ms", "host_ms", "cpu_ms"):
                        sample[key] *= factor
                    for key in ("commit_ms", "block_ms"):
                        sample[key] = [stamp * factor for stamp in sample[key]]
                write_json(path, sealed(path.as_posix(), body), indent=None)
                changed.append(body["cell"]["id"])
    make_above(target, but)
    return changed


def _papers(*but: str) -> list[str]:
    """What holds the provenance of each job so far; but: names of those that come later."""
    known = Run(Path("results"), "made").origins()
    return [path for path in known if Path(path).name not in {f"{name}.provenance.json" for name in but}]


def _lines(entries: Iterable[str]) -> str:
    return "\n".join(entries) + "\n"


def _study(paths: dict[str, list[str]]) -> dict[str, Any]:
    cells = [read_json(path)["cell"] for path in paths["records"]]
    floors = read_json("results/floors.json")
    return {
        **STUDY,
        "data": {cell["data"]: {"source": "tasks"} for cell in cells},
        "models": {cell["model"]: {"source": "train", "data": cell["data"]} for cell in cells},
        "floors": floors["floors"],
        "likelihood": {"gap": floors["likelihood_gap"]},
    }


def _studies(study: dict[str, Any]) -> dict[str, Any]:
    """What the two jobs that record the study are given."""
    return {"study": study, "floors": asked_of_tables(study)}


def _data_and_models(study: dict[str, Any]) -> None:
    for name, settings in study["data"].items():
        files = [f"results/data/{name}/{file}" for file in ("train.jsonl", "heldout.jsonl")]
        for file in files:
            write_jsonl(file, [{"id": f"{file}-{number}"} for number in range(3)])
        message = f"--name {name} --settings '{json.dumps(settings)}'"
        _write(f"results/data/{name}/provenance.json", _origin("prepare_data", [], message, files))
    for name, settings in study["models"].items():
        files = _model_files(name)
        write_json(files[0], {"name": name})
        write_text(files[1], f"weights of {name}")
        message = f"--name {name} --settings '{json.dumps(settings)}'"
        data = [f"results/data/{settings['data']}/train.jsonl"]
        _write(f"results/models/{name}/provenance.json", _origin("train_model", data, message, files))


def _model_files(name: str) -> list[str]:
    return [f"results/models/{name}/{file}" for file in ("config.json", "model.safetensors")]


def _record(path: str, study: dict[str, Any]) -> None:
    body = read_json(path)
    cell = body["cell"]
    inputs = [f"results/data/{cell['data']}/heldout.jsonl", *_model_files(cell["model"])]
    message = f"--cell {cell['id']} --measure '{json.dumps(study['measure'])}'"
    sound = sealed(path, body | {"provenance": _origin("time_cell", inputs, message)})
    write_json(path, sound, indent=None)


def _seal(path: str, rule: str, inputs: list[str], message: str) -> None:
    body = read_json(path) | {"provenance": _origin(rule, inputs, message)}
    write_json(path, sealed(path, body), indent=None)


def _beside(path: str, rule: str, inputs: list[str]) -> None:
    _write(str(Path(path).with_suffix(".provenance.json")), _origin(rule, inputs, "", [path]))


def _write(path: str, block: dict[str, Any]) -> None:
    write_json(path, signed(block))


def _origin(rule: str, inputs: list[str], message: str, outputs: list[str] | None = None) -> dict[str, Any]:
    def hashed(files: list[str]) -> list[dict[str, str]]:
        return [{"path": file, "sha256": sha256(file)} for file in files]

    return {
        "rule": rule,
        "wildcards": {},
        "params": {},
        "command": f"python scripts/{rule}.py {message}".strip(),
        "inputs": hashed(inputs),
        "outputs": hashed(outputs or []),
        "code_sha256": digest(ROOT, CODE),
        "code": {file: sha256(ROOT / file) for file in CODE},
        "git": {"commit": "0" * 40, "dirty": False},
        "environment": host.environment(),
        "machine": {"cpu": host.cpu_name(), "cpu_kind": host.cpu_kind()},
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2026-01-01T00:00:05+00:00",
        "seed": 1,
    }
