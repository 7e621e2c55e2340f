"""The smallest study runs to its end from files whose names hold what shells and Snakemake take for syntax."""

from __future__ import annotations

import pytest
import yaml

from tests.conftest import Project, copy_project
from tests.tiny_study import overlay

pytestmark = [pytest.mark.workflow, pytest.mark.thorough]


def test_a_study_of_odd_names_runs_to_the_end(tmp_path):
    project = Project(copy_project(tmp_path / "project"))
    outside = tmp_path / "my [größe] 'of' {x}"
    outside.mkdir()
    study, more = outside / 'the "tiny" study (ü).yaml', outside / "more.yaml"
    study.write_text(yaml.safe_dump(overlay() | {"title": "Größe {x} 'y' \"z\" $(id)"}), encoding="utf-8")
    more.write_text("seed: 6\n")
    # Of the same base name, in the project.
    (project.folder / "a").mkdir()
    (project.folder / "a/more.yaml").write_text("threads: 1\n")
    config = ("--configfile", str(study), str(more), "a/more.yaml")
    project.snakemake(study=config)
    assert project.planned(study=config) == {}
    assert "Größe {x}" in project.path("results/report.html").read_text(encoding="utf-8")
    copies = [path.read_bytes() for path in project.path("results/workflow").rglob("*.yaml")]
    assert all(path.read_bytes() in copies for path in (study, more, project.path("a/more.yaml")))


def test_one_record_alone_can_be_asked_for_in_a_fresh_clone(tmp_path):
    """Nothing that a record needs is made by priority alone."""
    from tests.tiny_study import targets

    project = Project(copy_project(tmp_path / "project"))
    (project.folder / "tiny.yaml").write_text(yaml.safe_dump(overlay()))
    record = targets(overlay(), scores=False)[0]
    project.snakemake(study=("--configfile", "tiny.yaml"), target=record)
    assert project.path(record).exists() and not project.path("results/machine.json").exists()
