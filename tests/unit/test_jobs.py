"""What every script does around its own work."""

import json

import pytest

from pardec.common.errors import UserError
from pardec.evidence.provenance import content, self_hash, unrecorded
from pardec.jobs import job

SCRIPT = "scripts/record_study.py"


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.txt").write_text("one")
    return tmp_path


@pytest.fixture
def argv():
    from pardec.evidence.provenance import ROOT

    return [str(ROOT / SCRIPT), "--out", "out.json"]


def test_bad_input_is_one_message_and_status_two(argv, capsys):
    with pytest.raises(SystemExit) as left, job(argv):
        raise UserError("here", "is wrong", "correct it")
    assert left.value.code == 2
    assert capsys.readouterr().err == "error: here: is wrong\n  fix: correct it\n"


def test_a_fault_of_ours_keeps_its_traceback(argv):
    with pytest.raises(ZeroDivisionError), job(argv):
        1 / 0  # noqa: B018


def test_a_record_is_sealed_with_what_made_it(argv, workplace):
    with job(argv) as this:
        this.wildcards, this.seed = {"cell": "a"}, 3
        this.read("in.txt")
        this.load("pardec.quality.distinct")
        this.seal("out.json", {"x": 1})
    body = json.loads((workplace / "out.json").read_text())
    origin = body["provenance"]
    assert origin["rule"] == "record_study" and origin["wildcards"] == {"cell": "a"} and origin["seed"] == 3
    assert origin["command"] == f"python {SCRIPT} --out out.json"
    assert [entry["path"] for entry in origin["inputs"]] == ["in.txt"]
    assert {"pardec/quality/distinct.py", "pardec/jobs.py", SCRIPT} <= set(origin["code"])
    assert origin["outputs"] == [{"path": "out.json", "content_sha256": content(body)}]
    assert origin["start"] <= origin["end"]


def test_what_is_made_to_be_compared_leaves_the_provenance_that_lies_there(argv, workplace):
    """Jobs that are made again at the same time read it."""
    (workplace / "a.csv").write_text("a")
    (workplace / "a.provenance.json").write_text("theirs")
    with unrecorded(), job(argv) as this:
        this.sign("a.csv")
    assert (workplace / "a.provenance.json").read_text() == "theirs"
    with job(argv) as this:
        this.sign("a.csv")
    assert (workplace / "a.provenance.json").read_text() != "theirs"


def test_files_that_cannot_hold_it_have_it_beside_them(argv, workplace):
    (workplace / "a.csv").write_text("a")
    (workplace / "b.csv").write_text("b")
    with job(argv) as this:
        this.rule = "tabulate"
        this.sign("a.csv", "b.csv")
    block = json.loads((workplace / "a.provenance.json").read_text())
    assert block["rule"] == "tabulate" and [entry["path"] for entry in block["outputs"]] == ["a.csv", "b.csv"]
    assert block["self_sha256"] == self_hash(block)


@pytest.mark.parametrize("replace", ["in place", "anew"])
def test_an_input_that_changes_under_a_job_is_refused(argv, workplace, replace, capsys):
    """The record would say other bytes than those that were measured."""
    path = workplace / "in.txt"
    with pytest.raises(SystemExit), job(argv) as this:
        this.read(path)
        if replace == "anew":
            path.unlink()
        path.write_text("two")
        this.seal("out.json", {})
    assert "changed while this job read it" in capsys.readouterr().err
    assert not (workplace / "out.json").exists()
