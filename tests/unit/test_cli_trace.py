"""`pardec trace` shows the whole chain of a number, and says where it is broken."""

import json
import re
import shutil

import pytest
from typer.testing import CliRunner

from pardec.audit.archive import open_run
from pardec.audit.trace import trace
from pardec.cli.main import app
from tests.finished_run import FIGURE, PRINTED

IDENT = PRINTED
RECORD = "results/cells/noise/grid/mdm-grid/mdm/steps~4+new~32+batch~1/timing.json"


@pytest.fixture(scope="module")
def results(finished):
    return finished


def message(results, ident, status=0):
    done = CliRunner().invoke(app, ["trace", ident, "--results", str(results)])
    assert done.exit_code == status, done.output
    return done.stdout


def test_the_chain_is_complete(results):
    text = message(results, IDENT)
    value = json.loads((results / "values.json").read_text())["values"][IDENT]
    record = json.loads((results.parent / RECORD).read_text())
    order = [
        IDENT,
        repr(value["value"]),
        f"{value['ci_low']!r} to {value['ci_high']!r}",
        value["command"],
        "✓ results/tables/cells.parquet",
        value["source"][0]["sha256"],
        f"✓ {RECORD}",
        f"{record['samples'][0]['e2e_ms']:.6g}",
        record["provenance"]["command"],
        record["provenance"]["code_sha256"],
        record["provenance"]["git"]["commit"],
        "✓ results/data/grid/heldout.jsonl",
        "scripts/prepare_data.py",
        "✓ results/models/mdm-grid/config.json",
        "scripts/train_model.py",
        "✓ results/data/grid/train.jsonl",
        "✓ results/models/mdm-grid/model.safetensors",
        "printed in",
        f"results/report.html#{IDENT}",
    ]
    place = 0
    for piece in order:
        place = text.index(piece, place)
    assert all(f"{sample['e2e_ms']:.6g}" in text for sample in record["samples"])


def test_every_value_ends_at_files_that_exist(results):
    with open_run(results) as run:
        values = run.values()["values"]
        full = [ident for ident, value in values.items() if value["value"] is not None]
        columns = {ident.rpartition("/")[2]: ident for ident in full}  # one value a column
        chosen = {*columns.values(), *(ident for ident in full if ident.startswith("finding/"))}
        for ident in chosen:
            result = trace(run, ident).value
            assert result.below and all(link.matches for link in result.below), ident
            for record in (record for table in result.below for record in table.below):
                # A score's hash stands in no table but `quality`; the file itself must be there.
                facts = dict(record.facts)
                assert record.matches is not False and facts["sha256"] != "missing", (ident, record.title)


def test_a_quality_leads_to_scores(results):
    text = message(results, "cells/steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1/quality")
    assert "exact: " in text and "outputs.jsonl" in text and "scripts/score_cell.py" in text


def test_a_finding_is_named_with_what_rests_on_it(results):
    assert "the answer to experiment noise" in message(results, "finding/noise/floor")


def test_an_id_is_found_whole_in_figures(results, tmp_path):
    """A figure that draws `.../quality_difference` does not draw `.../quality`."""
    with open_run(results) as run:
        ident = re.search(r'id="([^"]*/[^"]*)"', run.text(FIGURE))[1]
        assert FIGURE in trace(run, ident).printed
    copy = shutil.copytree(results, tmp_path / "results")
    drawing = copy.parent / FIGURE
    drawing.write_text(drawing.read_text().replace(f"{ident}", f"{ident}_difference"))
    with open_run(copy) as run:
        assert FIGURE not in trace(run, ident).printed


def test_a_link_of_the_report_can_be_pasted(results):
    assert message(results, f"#{IDENT}") == message(results, IDENT)


def test_an_unknown_id_names_the_nearest(results):
    wrong = IDENT.replace("/ratio", "/ratoi")
    done = CliRunner().invoke(app, ["trace", wrong, "--results", str(results)])
    assert done.exit_code == 2 and done.stderr.startswith("error: ") and f"{IDENT} or" in done.stderr


def test_a_broken_link_is_marked(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    with open(tmp_path / "results/models/mdm-grid/model.safetensors", "a") as file:
        file.write("!")
    text = message(tmp_path / "results", IDENT, status=1)
    assert "✗ results/models/mdm-grid/model.safetensors" in text and f"✓ {RECORD}" in text


def test_a_run_without_values_is_one_message(results, tmp_path):
    shutil.copytree(results, tmp_path / "results")
    (tmp_path / "results/values.json").write_text("{")
    done = CliRunner().invoke(app, ["trace", IDENT, "--results", str(tmp_path / "results")])
    assert done.exit_code == 2 and "values.json" in done.stderr
