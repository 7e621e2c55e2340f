"""All above the records of an archived run is made again by the code here; the records stay byte for byte."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pardec.audit.archive import open_run, write_archive
from pardec.audit.derive import derive
from pardec.audit.run import Run
from pardec.audit.verify import SCORES, as_then, level, verify
from pardec.common.errors import UserError
from pardec.common.files import read_json, read_lines, write_json
from pardec.evidence.provenance import ROOT

RAW = ("results/cells/", "results/quality/", "results/data/", "results/models/", "results/likelihood/")


@pytest.fixture(scope="module")
def archive(finished, tmp_path_factory):
    """A run whose tables are of an older version, with another claim and without a table and a figure of this one."""
    folder = tmp_path_factory.mktemp("old")
    results = shutil.copytree(finished, folder / "results")
    for name in ("tables/cells.csv", "report.html", "tables/gone.csv"):
        (results / name).write_text("of an older version")
    for path in results.glob("tables/noise.*"):
        path.unlink()
    (results / "workflow/studies/claims.yaml").write_text("claims: []")
    write_archive(Run(results, "old"), folder / "run.tar.zst")
    return folder / "run.tar.zst"


@pytest.fixture(scope="module")
def derived(archive, tmp_path_factory):
    """The results of that archive, derived by the code here."""
    with open_run(archive) as run:
        made = derive(run, cores=1)
        return shutil.copytree(made.folder, tmp_path_factory.mktemp("new") / "results")


def test_it_verifies_and_has_what_this_version_makes(derived, remembered):
    verdict = verify(Run(derived, "derived"), None, cores=1)
    assert not verdict.faults, verdict.faults
    assert (derived / "tables/noise.parquet").is_file() and not (derived / "tables/gone.csv").exists()
    assert not any(path.is_symlink() for path in derived.rglob("*"))


def test_records_stay_byte_for_byte_and_keep_their_provenance(finished, derived):
    run = Run(finished, "finished")
    raw = [name for name in run.files() if name.startswith(RAW)]
    assert raw and all(level(name) <= SCORES for name in raw)
    for name in raw:
        assert Run(derived, "derived").sha(name) == run.sha(name), name


def test_provenance_says_what_was_made_later_and_by_which_code(derived):
    block = read_json(derived / "tables/cells.provenance.json")
    assert block["start"] > "2026-01-01T00:01" and "pardec/evidence/tables/cells.py" in block["code"]
    paths = [
        entry["path"]
        for body in map(read_json, derived.rglob("*.provenance.json"))
        for entry in body["inputs"]
    ]
    assert paths and not any(Path(path).is_absolute() for path in paths)
    made = read_json(derived / "jobs.json")["made"]
    assert made["measured"]["commits"] == ["0" * 40] != made["derived"]["commits"]
    assert made["derived"]["start"] > made["measured"]["end"]
    page = (derived / "report.html").read_text()
    assert all(commit in page for commit in [*made["measured"]["commits"], *made["derived"]["commits"]])


def test_the_crate_has_every_job_and_the_files_that_made_it(derived):
    jobs, papers = (read_lines(derived / f"lists/{name}.txt") for name in ("jobs", "papers"))
    assert set(papers) - set(jobs) == {"results/jobs.provenance.json", "results/report.provenance.json"}
    assert "results/tables/noise.provenance.json" in jobs and len(papers) == len(set(papers))
    graph = {one["@id"]: one for one in read_json(derived / "ro-crate-metadata.json")["@graph"]}
    assert sum(one.startswith("#job/") for one in graph) == len(papers)
    assert "tables/noise.parquet" in graph and "tables/gone.csv" not in graph
    for name in ("Snakefile", "studies/claims.yaml", "rules/tables.smk"):
        assert (derived / "workflow" / name).read_bytes() == (ROOT / name).read_bytes()


def test_weights_that_are_kept_apart_are_asked_for(finished, tmp_path):
    run = Run(finished, "finished")
    apart = next(name for name in run.files() if name.endswith("model.safetensors"))
    write_archive(run, tmp_path / "there/run.tar.zst", [apart])
    with open_run(tmp_path / "there/run.tar.zst") as opened, pytest.raises(UserError, match="weights beside"):
        derive(opened, cores=1)


def test_a_record_that_this_version_cannot_read_is_named(finished, tmp_path):
    results = shutil.copytree(finished, tmp_path / "results")
    record = next(results.glob("cells/**/timing.json"))
    write_json(record, {"samples": []})
    write_archive(Run(results, "old"), tmp_path / "run.tar.zst")
    with open_run(tmp_path / "run.tar.zst") as run, pytest.raises(UserError, match="cannot be made again"):
        derive(run, cores=1)


NAMED = {"steps": 4, "drafter": {"name": "lookup"}}
"""What a recorded study names, which has every setting of its version."""


@pytest.mark.parametrize(
    ("given", "agrees"),
    [
        (NAMED, True),
        ({**NAMED, "added": 0.0}, True),
        ({**NAMED, "added": 1.0}, False),
        ({"drafter": {"name": "lookup"}}, False),  # the job was not given what the study names
        ({"steps": 4, "drafter": {}}, False),
    ],
)
def test_settings_that_a_later_version_added_are_no_difference(given, agrees):
    now = {"arm": "a", "settings": {"steps": 4, "drafter": {"name": "lookup", "added": 1}, "added": 0.0}}
    then, study = {"arm": "a", "settings": given}, {"arms": {"a": {"settings": NAMED}}}
    for asked, got in (
        (now, then),
        ({"cell": {**now, "reference": now}}, {"cell": {**then, "reference": then}}),
    ):
        wanted = as_then(asked, got, study)
        assert all(got[name] == one for name, one in wanted.items()) == agrees
