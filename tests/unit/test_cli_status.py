"""`pardec status` tells done, stale, failed and missing cells apart as Snakemake does, and what is left to do."""

import json
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pardec.cli.main import app
from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.evidence import status
from pardec.evidence.status import (
    BEFORE,
    DONE,
    FAILED,
    MISSING,
    STALE,
    cell_states,
    expected,
    stale_files,
)
from tests import tiny_study

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def plan():
    return tiny_study.plan(tiny_study.overlay())


@pytest.fixture
def records(plan, tmp_path):
    for record in plan.records():
        write_json(tmp_path / record, {"status": "ok", "job_s": 2.0, "ready_s": 0.5, "provenance": {}})
    return [tmp_path / record for record in plan.records()]


def states(plan, root, stale=None):
    return [(one.state, one.why, one.left) for one in cell_states(plan, root, stale or {})]


def test_each_state_and_the_time_left(plan, records, tmp_path):
    assert {state for state, _, _ in states(plan, tmp_path)} == {DONE}
    lost, failed, old, *rest = records
    lost.unlink()
    failed.write_text(json.dumps({"status": "oom", "reason": "too large", "job_s": 1.0}))
    seen = states(plan, tmp_path, {str(old.relative_to(tmp_path)): "params changed"})
    assert seen[1:3] == [(FAILED, "oom: too large", 0.0), (STALE, "params changed", 2.5)]
    assert seen[0][0] == MISSING and seen[0][2] > 0
    assert {state for state, _, _ in seen[3:]} == {DONE} and rest


def test_what_snakemake_says_is_read(tmp_path, monkeypatch):
    """The table of `--summary` in Snakemake 9.27.1; the smoke study asks the real one."""
    head = "output_file\tdate\trule\tlog-file(s)\tstatus\tplan\n"
    rows = 'a.json\tnow\tr\t-\tok\tno update\nb "1.json\tnow\tr\t-\tparams changed\tupdate pending\n'
    rows += "c.json\tnow\tr\t-\tok\tupdate pending\n"
    asked = []

    def run(command, **options):
        asked.append(command)
        return subprocess.CompletedProcess(command, 0, head + rows, "")

    monkeypatch.setattr(status.subprocess, "run", run)
    stale = stale_files(tmp_path, [Path("my study.yaml")], ["a=1"])
    assert stale == {'b "1.json': "params changed", "c.json": BEFORE}
    assert asked[0][3:] == [
        "all",
        "--summary",
        "--nolock",
        "--configfile",
        "my study.yaml",
        "--config",
        "a=1",
    ]


def test_a_study_that_snakemake_refuses(tmp_path):
    with pytest.raises(UserError, match="snakemake --summary"):
        stale_files(tmp_path)


def test_time_left_follows_the_most_alike(plan):
    first, *others = plan.cells
    alike = [ident for ident in others if plan.cells[ident].arm == plan.cells[first].arm]
    past = {ident: 100.0 for ident in plan.cells if ident != first} | dict.fromkeys(alike, 3.0)
    assert expected(plan.cells, first, past) == (3.0 if alike else 100.0)
    assert expected(plan.cells, first, {first: 7.0}) == 7.0
    assert expected(plan.cells, first, {}) is None


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["--configfile", "nowhere.yaml"], "nowhere.yaml: does not exist"),
        (["--configfile", "scripts/tabulate.py"], "scripts/tabulate.py"),
        (["--config", "measure"], "--config measure"),
        (["--config", "measure={budgets: 1}"], "budget_s"),
    ],
)
def test_bad_input_is_one_message(monkeypatch, arguments, text):
    monkeypatch.chdir(ROOT)
    done = CliRunner().invoke(app, ["status", *arguments])
    assert done.exit_code == 2 and text in done.stderr and "fix" in done.stderr, done.output
