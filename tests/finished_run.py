"""A whole synthetic run on disk, from data to report, with the provenance that a real one has."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pardec.common.closure import digest
from pardec.common.files import read_json, sha256, write_json, write_jsonl, write_text
from pardec.common.folded import fold_json
from pardec.evidence.claims import judge
from pardec.evidence.latex import macros
from pardec.evidence.provenance import ROOT, sealed
from pardec.evidence.tables.files import write_table
from pardec.evidence.tables.gather import gather
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.trails import trail
from pardec.evidence.values import collect, publish
from pardec.evidence.verdicts import judge_ideas
from pardec.report.digest import digest as pack
from tests import factories

CODE = ["pardec/common/files.py", "pardec/common/errors.py"]
"""Project files that the synthetic jobs claim to have run."""
PRINTED = ["cells/steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1/latency_ms", "finding/answer/tasks"]
"""Ids that the synthetic report links."""
FIGURE = "results/figures/pareto.svg"


def finished_run(folder: Path) -> Path:
    """Write a run below `folder`; returns its results."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        paths = factories.write_study(folder) | {"tables": ["results/tables"]}
        study = _study(paths)
        _data_and_models(study)
        for path in paths["scores"]:
            outputs = Path(path).with_name("outputs.jsonl")
            write_jsonl(outputs, [{"id": "held0", "text": path}])
            _seal(path, "score_cell", [str(outputs)], f"--outputs {outputs}")
        machine = read_json("results/machine.json")
        write_json("results/machine.json", machine | {"provenance": _origin("describe_machine", [], "")})
        for path in paths["records"]:
            _record(path, study)
        for path in paths["likelihoods"]:
            _seal(path, "measure_likelihood", _model_files(Path(path).stem), "")
        write_text("results/lists/inputs.txt", "\n".join(_inputs(paths)) + "\n")
        tabulate(paths)
    return folder / "results"


def tabulate(paths: dict[str, list[str]]) -> None:
    """Everything above the records; the working directory holds the run."""
    for name in TABLES:
        frame = TABLES.load(name).make(gather(name, paths))
        write_table(frame, f"results/tables/{name}.csv", f"results/tables/{name}.parquet")
    collected = collect(["results/tables"])
    write_json("results/values.json", collected)
    write_text("results/values.tex", macros(collected))
    rows = {name: table.rows for name, table in publish(["results/tables"]).items()}
    write_json("results/claims.json", judge(rows, collected["values"]))
    write_json("results/verdicts.json", judge_ideas(rows["ideas"], collected["values"]))
    trails = {path: trail(path) for path in _inputs(paths)}
    write_json("results/trails.json", trails)
    write_text(FIGURE, f"<svg><metadata>{PRINTED[0]}</metadata></svg>")
    _beside(FIGURE, "draw_figure", ["results/tables/pareto.csv"])
    links = "".join(f'<a class="v" data-v="{i}">{collected["values"][i]["text"]}</a>' for i in PRINTED)
    data = fold_json(pack(collected["values"], PRINTED, trails))
    page = f'<html>{links}<script type="application/octet-stream" id="trail-data">{data}</script></html>'
    write_text("results/report.html", page)
    _beside("results/report.html", "render_report", ["results/values.json", "results/study.json"])


def shifted(source: Path, target: Path, cells: str, factor: float) -> list[str]:
    """A copy of a run in which the latencies of records whose path holds `cells` are longer by `factor`.

    Returns the ids of the cells that changed.
    """
    shutil.copytree(source, target / "results")
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
                write_json(path, sealed(path.as_posix(), body))
                changed.append(body["cell"]["id"])
        tabulate(paths_of())
    return changed


def paths_of() -> dict[str, list[str]]:
    from pardec.evidence.tables.gather import sort_paths

    single = {kind: [f"results/{kind}.json"] for kind in ("machine", "floors")}
    return sort_paths("results/lists/inputs.txt") | single | {"tables": ["results/tables"]}


def _inputs(paths: dict[str, list[str]]) -> list[str]:
    return [*paths["records"], *paths["scores"], *paths["likelihoods"]]


def _study(paths: dict[str, list[str]]) -> dict[str, Any]:
    cells = [read_json(path)["cell"] for path in paths["records"]]
    floors = read_json("results/floors.json")
    study = {
        "name": "synthetic",
        "title": "A synthetic study",
        "seed": 1,
        "measure": {"budget_s": 1.0},
        "data": {cell["data"]: {"source": "tasks"} for cell in cells},
        "models": {cell["model"]: {"source": "train", "data": cell["data"]} for cell in cells},
        "floors": floors["floors"],
        "likelihood": {"gap": floors["likelihood_gap"]},
    }
    write_json("results/study.json", study)
    return study


def _data_and_models(study: dict[str, Any]) -> None:
    for name, settings in study["data"].items():
        files = [f"results/data/{name}/{file}" for file in ("train.jsonl", "heldout.jsonl")]
        for file in files:
            write_jsonl(file, [{"id": f"{file}-{number}"} for number in range(3)])
        said = f"--name {name} --settings '{json.dumps(settings)}'"
        write_json(f"results/data/{name}/provenance.json", _origin("prepare_data", [], said, files))
    for name, settings in study["models"].items():
        files = _model_files(name)
        write_json(files[0], {"name": name})
        write_text(files[1], f"weights of {name}")
        said = f"--name {name} --settings '{json.dumps(settings)}'"
        data = [f"results/data/{settings['data']}/train.jsonl"]
        write_json(f"results/models/{name}/provenance.json", _origin("train_model", data, said, files))


def _model_files(name: str) -> list[str]:
    return [f"results/models/{name}/{file}" for file in ("config.json", "model.safetensors")]


def _record(path: str, study: dict[str, Any]) -> None:
    body = read_json(path)
    cell = body["cell"]
    inputs = [f"results/data/{cell['data']}/heldout.jsonl", *_model_files(cell["model"])]
    said = f"--cell {cell['id']} --measure '{json.dumps(study['measure'])}'"
    body["provenance"] = _origin("time_cell", inputs, said)
    body["provenance"]["machine"] = {"cpu": "test", "sha256": sha256("results/machine.json")}
    write_json(path, sealed(path, body))


def _seal(path: str, rule: str, inputs: list[str], said: str) -> None:
    body = read_json(path) | {"provenance": _origin(rule, inputs, said)}
    write_json(path, sealed(path, body))


def _beside(path: str, rule: str, inputs: list[str]) -> None:
    write_json(Path(path).with_suffix(".provenance.json"), _origin(rule, inputs, "", [path]))


def _origin(rule: str, inputs: list[str], said: str, outputs: list[str] | None = None) -> dict[str, Any]:
    def hashed(files: list[str]) -> list[dict[str, str]]:
        return [{"path": file, "sha256": sha256(file)} for file in files]

    return {
        "rule": rule,
        "command": f"python scripts/{rule}.py {said}".strip(),
        "inputs": hashed(inputs),
        "outputs": hashed(outputs or []),
        "code_sha256": digest(ROOT, CODE),
        "code": CODE,
        "git": {"commit": "0" * 40, "dirty": False},
        "machine": None,
        "start": "2026-01-01T00:00:00+00:00",
        "end": "2026-01-01T00:00:05+00:00",
        "seed": 1,
    }
