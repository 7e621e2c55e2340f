"""`pardec verify` holds on a run as it was made, and names whatever was touched, however well it was signed."""

import contextlib
import json
import re

import pandas as pd
import pytest
from typer.testing import CliRunner

from pardec.audit import remake
from pardec.audit.archive import open_run
from pardec.audit.difference import difference
from pardec.cli.main import app
from pardec.common import host
from pardec.common.files import sha256
from pardec.evidence.provenance import content, self_hash
from pardec.evidence.tables.inputs import write_table
from tests.finished_run import FIGURE
from tests.forging import edit_json, forge
from tests.verifying import faults

pytestmark = pytest.mark.usefixtures("remembered")

CELL = "steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1"
RECORD = f"results/cells/{CELL}/timing.json"
OTHER = "results/cells/steps/sort/mdm-sort/mdm/steps~4+new~32+batch~1/timing.json"
SCORE = "results/quality/grid/mdm-grid/mdm/steps~4+new~32/score.json"
FILES = [
    "results/data/grid/train.jsonl",
    "results/data/grid/heldout.jsonl",
    "results/models/mdm-grid/config.json",
    "results/models/mdm-grid/model.safetensors",
    "results/machine.json",
    "results/study.json",
    "results/floors.json",
    "results/quality/grid/mdm-grid/mdm/steps~4+new~32/outputs.jsonl",
    SCORE,
    "results/quality/likelihood/ar-text.json",
    RECORD,
    "results/tables/cells.csv",
    "results/tables/cells.provenance.json",
    "results/tables/crossover.parquet",
    "results/values.json",
    "results/values.tex",
    "results/trails.json",
    "results/claims.json",
    "results/verdicts.json",
    FIGURE,
    FIGURE.replace(".svg", ".png"),
    "results/jobs.json",
    "results/report.html",
    "results/report.packed.html",
    "results/ro-crate-metadata.json",
    "results/workflow/flow/config.yaml",
]


def forged(results, disturb):
    """What is named after `disturb` changed files and a forger made every hash in the run fit again."""
    old = {path: sha256(path) for path in results.rglob("*") if path.is_file()}
    disturb(results)
    forge(results, old)
    return faults(results)


def test_an_untouched_run_holds_and_is_left_alone(finished):
    before = {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}
    done = CliRunner().invoke(app, ["verify", str(finished)])
    assert done.exit_code == 0 and "Every file follows" in done.stdout, done.output
    assert before == {path: path.read_bytes() for path in finished.rglob("*") if path.is_file()}


@contextlib.contextmanager
def kept(path):
    """Put the file back as it was, so that the next test need not copy the run."""
    data = path.read_bytes()
    try:
        yield data
    finally:
        path.write_bytes(data)


@pytest.mark.parametrize("name", FILES)
def test_a_changed_byte_is_named_first_by_hashes_alone(finished, name, by_hashes):
    path = finished.parent / name
    with kept(path) as data:
        text = bytearray(data)
        text[len(text) // 2] ^= 1
        path.write_bytes(text)
        assert next(iter(faults(finished))) == name


@pytest.mark.parametrize(
    "name", [RECORD, SCORE, "results/models/mdm-grid/config.json", "results/values.json"]
)
def test_a_missing_file_is_named(finished, name, by_hashes):
    with kept(finished.parent / name):
        (finished.parent / name).unlink()
        assert name in faults(finished)


def test_swapped_records_are_both_named(results, by_hashes):
    first, second = results.parent / RECORD, results.parent / OTHER
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two), second.write_bytes(one)
    assert list(faults(results))[:2] == sorted([RECORD, OTHER])


def test_a_record_that_names_a_wrong_input_is_blamed_not_the_input(results, by_hashes):
    edit_json(results.parent / RECORD, lambda body: body["provenance"]["inputs"][0].update(sha256="0" * 64))
    named = faults(results)
    assert next(iter(named)) == RECORD and "results/data/grid/heldout.jsonl" not in named


def slower(body):
    body["samples"][0]["e2e_ms"] *= 100


def test_one_agreeing_file_does_not_outvote_the_others(results, by_hashes):
    """The record signs itself anew, and one sidecar is made to agree; the innocent ones are not named."""
    path, paper = results.parent / RECORD, results / "tables/samples.provenance.json"
    was = sha256(path)
    edit_json(path, slower)
    paper.write_text(paper.read_text().replace(was, sha256(path)))
    edit_json(paper, lambda body: None)
    assert list(faults(results)) == [RECORD, "results/tables/samples.provenance.json"]


def better_cell(results):
    paths = [results / f"tables/crossover.{end}" for end in ("csv", "parquet")]
    frame = pd.read_parquet(paths[1])
    frame["ratio"] = frame["ratio"] * 2
    write_table(frame, *paths)


def other_interval(results):
    edit_json(
        results / "values.json", lambda body: body["values"][f"cells/{CELL}/ratio"].update(ci_high=99.0)
    )


def better_claim(results):
    def change(body):
        next(c for c in body["claims"] if c["verdict"] != "reproduced")["verdict"] = "reproduced"

    edit_json(results / "claims.json", change)


def other_samples(results):
    edit_json(results / "trails.json", lambda body: body[RECORD]["samples_ms"].__setitem__(0, 0.1))


def edited(name, pattern, text):
    """Replace the first match of `pattern` in a text file; it must be there."""

    def change(results):
        path = results.parent / name
        before = path.read_text()
        after = re.sub(pattern, text, before, count=1)
        assert after != before
        path.write_text(after)

    return change


def other_picture(results):
    path = results.parent / FIGURE.replace(".svg", ".png")
    path.write_bytes(path.read_bytes()[:-20])


REPORT = "results/report.html"
LINK = r'(<a [^>]*data-v="[^"]*"[^>]*>)'
FORGERIES = {
    "a table's entry": (better_cell, "results/tables/crossover.csv", "column ratio"),
    "a value's interval": (other_interval, "results/values.json", "ci_high: 99.0"),
    "a claim's verdict": (better_claim, "results/claims.json", "'reproduced' instead of"),
    "a sample in the trails": (other_samples, "results/trails.json", "samples_ms 0: 0.1"),
    "a digit in a figure": (
        edited(FIGURE, r"(<text[^>]*>)([^<]*)\d", r"\g<1>\g<2>x"),
        FIGURE,
        "'x' instead of",
    ),
    "a picture": (other_picture, FIGURE.replace(".svg", ".png"), "byte"),
    "a digit on the page": (edited(REPORT, LINK + r"([^<\d]*)\d", r"\g<1>\g<2>77"), REPORT, "instead of"),
}


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (r'(class="ci">\[)\d', r"\g<1>77"),
        (LINK + r"[\d.]+", r"\1many"),
        (r'(data-v="finding/[^"]*"[^>]*>)\d', r"\g<1>77"),
    ],
    ids=["an interval", "a word for a number", "a headline count"],
)
def test_what_the_page_says_otherwise_is_seen(finished, tmp_path, pattern, text):
    right = finished.parent / REPORT
    kept = tmp_path / "report.html"
    kept.write_bytes(right.read_bytes())
    edited("report.html", pattern, text)(tmp_path / "results")
    assert "instead of" in difference(right, kept, exact=True)


TRAILS = "a sample in the trails"
"""Beside a wrong table this one would accuse the record."""


@pytest.mark.parametrize("kinds", [{TRAILS}, FORGERIES.keys() - {TRAILS}], ids=["trails", "all others"])
def test_what_does_not_follow_is_named_whatever_it_is_signed_with(results, kinds):
    """Each forgery for its own reason, and nothing else, so that none is named for another's."""
    forgeries = {kind: FORGERIES[kind] for kind in kinds}

    def disturb(results):
        for change, _, _ in forgeries.values():
            change(results)

    named = forged(results, disturb)
    for kind, (_, name, why) in forgeries.items():
        assert why in named.get(name, ""), (kind, named)
    following = {"results/tables/crossover.parquet"} if "a table's entry" in kinds else set()
    assert named.keys() == {name for _, name, _ in forgeries.values()} | following, named


def only(monkeypatch, *files):
    """Let `verify` make again only these files and those that are written with them."""
    again = remake._again

    def make(run, folder, stage):
        if stage.outputs[0] in files:
            return again(run, folder, stage)
        for name in stage.outputs:
            remake._link(run, name, folder)
        return []

    monkeypatch.setattr(remake, "_again", make)


def test_a_record_with_all_hashes_forged_is_named_by_what_was_made_from_it(results, monkeypatch):
    follow = ("tables/cells.csv", "tables/steps.csv", "values.json", "trails.json")
    only(monkeypatch, *(f"results/{name}" for name in follow))
    named = forged(results, lambda results: edit_json(results.parent / RECORD, slower))
    assert next(iter(named)) == RECORD and "results/tables/" in named[RECORD]
    assert "results/values.json" in named and OTHER not in named


def test_other_libraries_are_compared_by_what_files_say(results, monkeypatch):
    """Of another version come other bytes; a table within 1e-9 holds, a larger difference does not."""
    now = host.environment()
    monkeypatch.setattr(host, "environment", lambda: {**now, "torch": "0.0"})
    only(monkeypatch, "results/tables/crossover.csv", FIGURE)
    svg = results.parent / FIGURE
    svg.write_text(re.sub(r' d="M (\d)', r' d="M 9\1', svg.read_text()))
    paths = [results / f"tables/crossover.{end}" for end in ("csv", "parquet")]
    frame = pd.read_parquet(paths[1])
    frame["ratio"] = frame["ratio"] * (1 + 1e-12)
    write_table(frame, *paths)
    with open_run(results) as run:
        notes = []
        named = dict(remake.remake(run, notes, 1))
        assert not named
        assert "with other libraries" in notes[0]
    frame["ratio"] = frame["ratio"] * (1 + 1e-6)
    write_table(frame, *paths)
    with open_run(results) as run:
        assert {"results/tables/crossover.csv", "results/tables/crossover.parquet"} <= dict(
            remake.remake(run, [], 1)
        ).keys()


@pytest.mark.parametrize("shown", ["123", "1.24 × [1.10, 1.40]", "1.23 × [9.00, 9.99]", "0 ms", "many"])
@pytest.mark.parametrize("form", ["html", "svg"])
def test_a_number_printed_otherwise_is_seen_also_with_other_libraries(tmp_path, shown, form):
    tag = {"html": '<p style="x:1">{}</p>', "svg": '<g id="steps/x/ratio"><text x="1">{}</text></g>'}[form]
    right, kept = (tmp_path / f"{name}.{form}" for name in ("right", "kept"))
    right.write_text(tag.format("1.23 × [1.10, 1.40]"))
    kept.write_text(tag.format("1.23 × [1.10, 1.40]").replace('"1"', '"2"').replace("x:1", "x:2"))
    assert difference(right, kept, exact=False) is None
    assert "instead of" in difference(right, kept, exact=True)
    kept.write_text(tag.format(shown))
    assert "instead of" in difference(right, kept, exact=False)


@pytest.mark.parametrize("what", ["nowhere", "empty"])
def test_no_run_is_one_message(tmp_path, what):
    (tmp_path / "empty").mkdir()
    done = CliRunner().invoke(app, ["verify", str(tmp_path / what)])
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and "fix: " in done.stderr


def test_a_sidecar_signs_all_the_rest_of_itself(results):
    block = json.loads((results / "values.provenance.json").read_text())
    assert block["self_sha256"] == self_hash(block)
    body = json.loads((results.parent / RECORD).read_text())
    assert body["provenance"]["outputs"][0]["content_sha256"] == content(body)
