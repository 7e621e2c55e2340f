"""`pardec verify` holds on a run as it was made, and names whatever was touched."""

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run
from pardec.audit.code_now import changed_code
from pardec.audit.origins import Origin
from pardec.audit.verify import verify
from pardec.cli.main import app
from pardec.common.closure import digest
from tests.finished_run import CODE

RECORD = "results/cells/steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1/timing.json"
OTHER = "results/cells/steps/sort/mdm-sort/mdm/steps~4+new~32+batch~1/timing.json"
SCORE = "results/quality/grid/mdm-grid/mdm/steps~4+new~32/score.json"
FILES = [
    "results/data/grid/train.jsonl",
    "results/data/grid/heldout.jsonl",
    "results/models/mdm-grid/config.json",
    "results/models/mdm-grid/model.safetensors",
    "results/machine.json",
    "results/lists/inputs.txt",
    "results/study.json",
    "results/floors.json",
    "results/quality/grid/mdm-grid/mdm/steps~4+new~32/outputs.jsonl",
    SCORE,
    "results/quality/likelihood/ar-text.json",
    "results/claims.json",
    "results/verdicts.json",
    RECORD,
    "results/tables/cells.csv",
    "results/tables/cells.parquet",
    "results/tables/crossover.parquet",
    "results/figures/pareto.svg",
    "results/trails.json",
    "results/values.json",
    "results/values.tex",
    "results/report.html",
]


@pytest.fixture
def results(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "results")
    return tmp_path / "results"


def named(results, root=None):
    with open_run(results) as run:
        return [fault.path for fault in verify(run, root).faults]


def test_an_untouched_run_holds(finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["verify", str(finished)])
    assert done.exit_code == 0 and "Everything follows" in done.stdout, done.output
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_named_first(results, name):
    path = results.parent / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert named(results)[0] == name


@pytest.mark.parametrize(
    "name", [RECORD, SCORE, "results/models/mdm-grid/config.json", "results/values.json"]
)
def test_a_missing_file_is_named(results, name):
    (results.parent / name).unlink()
    assert name in named(results)


def test_one_sample_edited_names_the_record_and_what_no_longer_follows(results):
    path = results.parent / RECORD
    body = json.loads(path.read_text())
    body["samples"][0]["e2e_ms"] *= 100
    path.write_text(json.dumps(body))
    done = CliRunner().invoke(app, ["verify", str(results)])
    assert done.exit_code == 1 and f"First: {RECORD}" in done.stdout
    found = named(results)
    assert found[0] == RECORD and "results/tables/cells.parquet" in found and "results/values.json" in found
    assert not any(name.startswith(("results/data/", "results/models/")) for name in found)


def test_one_entry_of_a_table_edited_names_that_table_alone(results):
    path = results / "tables/steps.csv"
    rows = path.read_text().splitlines()
    place = rows[0].split(",").index("device")
    fields = rows[1].split(",")
    fields[place] = "cpu2"
    path.write_text("\n".join([rows[0], ",".join(fields), *rows[2:]]) + "\n")
    assert named(results) == ["results/tables/steps.csv"]


def test_swapped_records_are_both_named(results):
    first, second = results.parent / RECORD, results.parent / OTHER
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two), second.write_bytes(one)
    assert named(results)[:2] == sorted([RECORD, OTHER])


def test_a_record_that_names_a_wrong_input_is_blamed_not_the_input(results):
    path = results.parent / RECORD
    body = json.loads(path.read_text())
    body["provenance"]["inputs"][0]["sha256"] = "0" * 64
    path.write_text(json.dumps(body))
    found = named(results)
    assert found[0] == RECORD and "results/data/grid/heldout.jsonl" not in found


def test_a_value_edited_in_values_json_is_named_alone(results):
    path = results / "values.json"
    body = json.loads(path.read_text())
    value = body["values"]["cells/noise/grid/ar-grid/ar/new~32+batch~1/latency_ms"]
    value["value"] = value["value"] * (1 + 1e-15)
    path.write_text(json.dumps(body))
    # The report's provenance tells of values.json too, and is right.
    assert named(results) == ["results/values.json"]


def test_a_number_printed_otherwise_in_the_report_is_named(results):
    path = results / "report.html"
    (results / "report.provenance.json").unlink()  # so that only the number gives it away
    text = path.read_text()
    place = text.index("</a>") - 1
    digit = str((int(text[place]) + 1) % 10)
    path.write_text(text[:place] + digit + text[place + 1 :])
    assert named(results) == ["results/report.html"]


def test_a_changed_library_file_is_named(results, tmp_path):
    root = Path(__file__).parents[2]
    copy = tmp_path / "project"
    for file in CODE:
        (copy / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / file, copy / file)
    assert named(results, copy) == []
    with open(copy / CODE[0], "a") as file:
        file.write("# later\n")
    assert named(results, copy) == [CODE[0]]


def test_of_many_jobs_only_the_file_that_the_stale_ones_share_is_suspected(tmp_path):
    for name in "abc":
        (tmp_path / name).write_text(name)
    known = [
        Origin(f"job-{''.join(files)}", {"code": files, "code_sha256": digest(tmp_path, files)})
        for files in (["a"], ["a", "b"], ["a", "b", "c"], ["b"])
    ]
    (tmp_path / "b").write_text("edited")
    assert [fault.path for fault in changed_code(tmp_path, known)] == ["b"]


def test_a_machine_described_anew_after_timing_is_only_noted(results):
    path = results / "machine.json"
    body = json.loads(path.read_text())
    body["provenance"]["start"] = "2026-02-01T00:00:00+00:00"
    path.write_text(json.dumps(body))
    with open_run(results) as run:
        verdict = verify(run, None)
    assert any("written again" in note for note in verdict.notes)
    # The table `machine` gives the old file's hash, so it is still named as not following.
    assert "results/machine.json" not in [fault.path for fault in verdict.faults if fault.floor > 3]


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_no_run_is_one_message(tmp_path, what):
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(app, ["verify", str(tmp_path / what)])
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and "fix: " in done.stderr
