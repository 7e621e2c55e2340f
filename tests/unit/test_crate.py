"""A run as a Workflow Run RO-Crate: what the Workflow Run profile requires, from synthetic jobs."""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from urllib.parse import unquote

import pytest
from rocrate.rocrate import ROCrate

from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256, write_json
from pardec.evidence.crate import MANY, NAME, PROFILES, copy_name, describe, read_blocks
from pardec.evidence.provenance import now, provenance, sealed, sidecar, signed
from tests import factories

ROOT = Path(__file__).parents[2]
WORKFLOW = ["Snakefile", "rules/common.smk", "config.yaml"]
SCRIPTS = [f"scripts/{name}.py" for name in ("time_cell", "tabulate", "record_study", "prepare_data")]
ABOUT = {"name": "Test study", "description": "d", "license": "MIT", "agent": "A. Person", "engine": "9.27.1"}


def argv(script, *words):
    return [str(ROOT / f"scripts/{script}.py"), *words]


def run(folder):
    """Results with provenance as the scripts write it: 22 timing jobs, one table of them, data, study, values."""
    (folder / "rules").mkdir()
    (folder / "scripts").mkdir()
    for path in (*WORKFLOW, *SCRIPTS):
        (folder / path).write_text(f"# {path}\n")
    (folder / "mine.jsonl").write_text("{}\n")
    records = factories.write_study(folder)["records"][: MANY + 2]
    papers = []
    for path in records:
        body = read_json(path)
        cell = body["cell"]["id"]
        words = argv("time_cell", "--cell", cell)
        body["provenance"] = provenance(
            words, now(), ["results/data/own/heldout.jsonl"], wildcards={"cell": cell}
        )
        write_json(path, sealed(path, body), indent=None)
        papers.append(path)
    for paths, script, inputs, more in (
        (["results/data/own/heldout.jsonl"], "prepare_data", ["mine.jsonl"], {"rule": "fetch_prompts"}),
        (["results/tables/cells.csv"], "tabulate", records, {"wildcards": {"table": "cells"}}),
        (["results/tables/noise.csv"], "tabulate", records, {"wildcards": {"table": "noise"}}),
        (["results/study.json"], "record_study", [], {}),
        (["results/values.json", "results/report.html"], "tabulate", ["results/tables/cells.csv"], {}),
    ):
        block = provenance(argv(script), now(), inputs, outputs=paths, **more)
        write_json(sidecar(paths[0]), signed(block))
        papers.append(str(Path(paths[0]).with_suffix(".provenance.json")))
    return papers


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return (folder, its papers, the crate's entities by id)"""
    folder = tmp_path_factory.mktemp("crate")
    for path in (
        "data/own/heldout.jsonl",
        "tables/cells.csv",
        "tables/noise.csv",
        "report.html",
        "values.json",
    ):
        (folder / "results" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "results" / path).write_text(path)
    write_json(folder / "results/study.json", {"title": "Test study"})
    with contextlib.chdir(folder):
        papers = run(folder)
        for path in (*WORKFLOW, *SCRIPTS):
            copy = Path("results/workflow", path)
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
        crate = describe(read_blocks(papers), "results", [*WORKFLOW, *SCRIPTS], ABOUT)
    write_json(folder / "results" / NAME, crate)
    return folder, papers, crate


@pytest.fixture(scope="module")
def entities(made):
    graph = made[2]["@graph"]
    assert len({entity["@id"] for entity in graph}) == len(graph), "an id is listed twice"
    return {entity["@id"]: entity for entity in graph}


def many(value):
    return value if isinstance(value, list) else [] if value is None else [value]


def ids(value):
    return [reference["@id"] for reference in many(value)]


def of_type(entities, kind):
    return [entity for entity in entities.values() if kind in many(entity["@type"])]


def jobs(entities):
    return [entity for entity in of_type(entities, "CreateAction") if entity["@id"] != "#execution"]


def test_context_names_ro_crate_and_the_terms_of_workflow_runs(made):
    assert made[2]["@context"] == [
        "https://w3id.org/ro/crate/1.1/context",
        "https://w3id.org/ro/terms/workflow-run/context",
    ]


def test_root_conforms_to_the_profiles_and_leads_to_everything(entities):
    root = entities["./"]
    assert set(ids(root["conformsTo"])) == set(PROFILES)
    for uri in PROFILES:
        assert entities[uri]["@type"] == "CreativeWork" and entities[uri]["version"] == uri.rsplit("/", 1)[1]
    assert entities[NAME]["about"] == {"@id": "./"}
    assert "https://w3id.org/ro/crate/1.1" in ids(entities[NAME]["conformsTo"])
    assert root["name"] == "Test study" and root["datePublished"] and entities[root["license"]["@id"]]
    assert root["mainEntity"] == {"@id": "workflow/Snakefile"}
    assert set(ids(root["hasPart"])) == {file["@id"] for file in of_type(entities, "File")}
    expected = [*of_type(entities, "CreateAction"), *of_type(entities, "Collection")]
    assert set(ids(root["mentions"])) == {entity["@id"] for entity in expected}


def test_every_reference_inside_the_crate_exists(entities):
    for entity in entities.values():
        for key, value in entity.items():
            for item in many(value):
                if isinstance(item, dict) and not item["@id"].startswith(
                    ("https://doi.org", "https://snakemake.", "https://w3id.org/ro/crate/")
                ):
                    assert item["@id"] in entities, (entity["@id"], key, item)


def test_lists_of_one_are_no_lists(entities):
    for entity in entities.values():
        assert not any(isinstance(value, list) and len(value) == 1 for value in entity.values()), entity


def test_every_action_has_instrument_object_result_agent_and_times(entities):
    actions = of_type(entities, "CreateAction")
    assert len(jobs(entities)) == MANY + 2 + 5 and len(actions) == MANY + 2 + 6
    for action in actions:
        for key in ("instrument", "object", "result", "agent"):
            assert ids(action[key]), (action["@id"], key)
        assert action["name"] and action["description"] and action["startTime"] <= action["endTime"]
        assert action["actionStatus"] == "http://schema.org/CompletedActionStatus"
        assert entities[action["agent"]["@id"]] == {"@id": "#agent", "@type": "Person", "name": "A. Person"}
    for job in jobs(entities):
        assert "SoftwareSourceCode" in entities[job["instrument"]["@id"]]["@type"]
        facts = {entities[fact]["name"]: entities[fact] for fact in ids(job["environment"])}
        assert {"python", "torch", "packages_sha256", "cpu", "code_sha256"} <= set(facts)
        assert all(fact["@type"] == "PropertyValue" and fact["value"] for fact in facts.values())


def test_workflow_names_language_tools_and_parameters(entities):
    main = entities["workflow/Snakefile"]
    assert {"File", "SoftwareSourceCode", "ComputationalWorkflow"} == set(main["@type"])
    assert "snakemake" in main["programmingLanguage"]["@id"] and main["version"]
    assert entities[main["programmingLanguage"]["@id"]]["version"] == "9.27.1"
    used = {job["instrument"]["@id"] for job in jobs(entities)}
    assert set(ids(main["hasPart"])) == used == {f"workflow/{script}" for script in SCRIPTS}
    for parameter in [entities[name] for key in ("input", "output") for name in ids(main[key])]:
        assert parameter["@type"] == "FormalParameter" and parameter["additionalType"] == "File"
        assert any(
            {"@id": parameter["@id"]} in many(e.get("exampleOfWork")) for e in of_type(entities, "File")
        )


def test_files_are_there_with_their_hashes(made, entities):
    files = of_type(entities, "File")
    assert len(files) > MANY
    for file in files:
        path = made[0] / "results" / unquote(file["@id"])
        assert file["sha256"] == sha256(path) and file["contentSize"] == str(path.stat().st_size)


def test_many_inputs_are_one_shared_collection(entities):
    (collection,) = of_type(entities, "Collection")
    assert len(collection["hasPart"]) == MANY + 2
    users = [job["@id"] for job in jobs(entities) if job["object"] == {"@id": collection["@id"]}]
    assert users == ["#job/tables/cells.csv", "#job/tables/noise.csv"]


def test_a_job_without_inputs_used_the_study_and_foreign_files_stay_outside(entities):
    assert entities["#job/study.json"]["object"] == {"@id": "workflow/config.yaml"}
    outside = entities["#job/data/own/heldout.jsonl"]["object"]["@id"]
    assert outside == "#outside/mine.jsonl" and "File" not in entities[outside]["@type"]
    assert len(entities[outside]["sha256"]) == 64


def test_reads_back_as_a_crate(made, entities):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        crate = ROCrate(made[0] / "results")
    assert crate.mainEntity.id == "workflow/Snakefile" and crate.version == "1.1"
    again = {entity["@id"]: entity for entity in crate.metadata.generate()["@graph"]}
    assert again.keys() == entities.keys()
    for name in ("#execution", "#job/study.json", "tables/cells.csv"):
        assert again[name] == entities[name]
    job = crate.get("#job/tables/cells.csv")
    assert (
        job["instrument"].id == "workflow/scripts/tabulate.py" and job["result"][0].id == "tables/cells.csv"
    )


def test_the_same_run_gives_the_same_crate(made):
    with contextlib.chdir(made[0]):
        assert describe(read_blocks(made[1]), "results", [*WORKFLOW, *SCRIPTS], ABOUT) == made[2]


def test_a_missing_paper_is_named(made):
    with contextlib.chdir(made[0]), pytest.raises(UserError, match=r"no/such/timing\.json"):
        read_blocks([*made[1], "no/such/timing.json"])


def test_a_configuration_from_elsewhere_keeps_its_name_alone():
    assert copy_name("studies/8b.yaml") == "studies/8b.yaml"
    assert re.fullmatch(r"mine-[0-9a-f]{8}\.yaml", copy_name("/home/me/mine.yaml"))


def test_no_two_files_of_the_workflow_share_a_copy():
    names = [
        "my study.yaml",
        "my_study.yaml",
        "a/m{y}.yaml",
        "../mine.yaml",
        "/x/mine.yaml",
        "mine.yaml",
        "größe.yaml",
    ]
    copies = [copy_name(name) for name in names]
    assert len(set(copies)) == len(names) and all(
        re.fullmatch(r"[\w./-]+", copy, re.ASCII) for copy in copies
    )


def test_the_script_copies_the_workflow_and_says_where_the_crate_came_from(made, tmp_path):
    shutil.copytree(made[0], tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "results/workflow")
    (tmp_path / "papers.txt").write_text("".join(f"{path}\n" for path in made[1]))
    words = ["--papers-from", "papers.txt", "--study", "results/study.json", "--out", "results"]
    command = [sys.executable, *argv("describe_run"), *words, "--workflow", *WORKFLOW, *SCRIPTS]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "PARDEC_AGENT": "B. Person"}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    crate = read_json(tmp_path / "results" / NAME)
    assert {"@id": "#agent", "@type": "Person", "name": "B. Person"} in crate["@graph"]
    for path in (*WORKFLOW, *SCRIPTS):
        assert (tmp_path / "results/workflow" / path).read_text() == (tmp_path / path).read_text()
    block = read_json(tmp_path / "results/ro-crate-metadata.provenance.json")
    assert block["rule"] == "describe_run"
    assert f"results/{NAME}" in {entry["path"] for entry in block["outputs"]}


def test_an_independent_validator_finds_no_fault(made):
    """roc-validator lives in an environment of its own: it wants other versions of rich and packaging than ours."""
    validator = os.environ.get("PARDEC_ROC_VALIDATOR") or shutil.which("rocrate-validator")
    if validator is None:
        pytest.skip(
            "no rocrate-validator: `pip install roc-validator` elsewhere, name it by PARDEC_ROC_VALIDATOR"
        )
    words = [
        "-y",
        "--disable-color",
        "validate",
        "--profile-identifier",
        "workflow-run-crate",
        "--no-paging",
    ]
    command = [validator, *words, "--output-format", "json", str(made[0] / "results")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    message = done.stdout + done.stderr
    if any(words in message for words in ("Name or service not known", "Failed to resolve", "URLError")):
        pytest.skip("rocrate-validator could not fetch the JSON-LD contexts from w3id.org")
    assert done.returncode == 0, message
    assert json.loads(message[message.index("{") : message.rindex("}") + 1])["passed"]
