"""Files that introduce the project to people and services agree with pyproject.toml and with each other."""

import json
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text())
CODEMETA = json.loads((ROOT / "codemeta.json").read_text())
ZENODO = json.loads((ROOT / ".zenodo.json").read_text())


def test_title_version_licence_and_authors_are_the_same():
    assert CITATION["title"] == CODEMETA["name"] == ZENODO["title"]
    assert CITATION["version"] == CODEMETA["version"] == PROJECT["version"]
    licence, *beside = PROJECT["license"].split(" AND ")
    assert CITATION["license"] == ZENODO["license"] == licence
    assert beside == ["PSF-2.0"], "of the topics of CPython, which a wheel contains"
    assert CODEMETA["license"].endswith(f"/{licence}")
    assert PROJECT["requires-python"].removeprefix(">=") in CODEMETA["softwareRequirements"]
    names = [person["name"] for person in PROJECT["authors"]]
    assert (
        names == [one["name"] for one in CITATION["authors"]] == [one["name"] for one in CODEMETA["author"]]
    )
    assert names == [one["name"] for one in ZENODO["creators"]]
    assert set(CITATION["keywords"]) == set(CODEMETA["keywords"]) == set(ZENODO["keywords"])


def test_the_catalogs_command_is_the_readmes():
    catalog = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    readme = (ROOT / "README.md").read_text()
    assert f"snakemake --cores 1 {catalog['mandatory-flags']['flags']} all" in readme
    assert catalog["software-stack-deployment"] == {"conda": True, "apptainer": True}
    assert (ROOT / "config/README.md").is_file() and (ROOT / "Snakefile").is_file()


def test_workflows_call_what_the_makefile_has():
    targets = {line.partition(":")[0] for line in (ROOT / "Makefile").read_text().splitlines() if ":" in line}
    jobs = {}
    for path in (ROOT / ".github/workflows").glob("*.yml"):
        jobs |= yaml.safe_load(path.read_text())["jobs"]
    assert jobs["test"]["strategy"]["matrix"]["python"] == ["3.11", "3.13"]
    lines = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    called = {
        word for line in lines if line.startswith("make ") for word in line.split()[1:] if "=" not in word
    }
    assert called <= targets and {"test", "docs", "docs-site", "env"} <= called
    assert any("retrain=true" in line for line in lines)
    container = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    assert container["postCreateCommand"].removeprefix("make ") in targets


def test_hooks_run_tools_that_lint_runs_too():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    lint = (ROOT / "Makefile").read_text().partition("\nlint:")[2].partition("\n\n")[0]
    assert {hook["entry"].split()[0] for hook in hooks} == {"ruff", "snakefmt", "mypy"}
    assert all(hook["entry"].split()[0] in lint for hook in hooks)
