"""Published values: each leads back to its row and record, prints honestly, and does not depend on chance."""

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.evidence.findings.base import computed
from pardec.evidence.findings.registry import FINDINGS
from pardec.evidence.latex import macro_name
from pardec.evidence.rounding import rounded
from pardec.evidence.tables.registry import TABLES, value_id
from pardec.evidence.values import collect
from tests import factories


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("values")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        frames = factories.build_all(folder)
        yield folder, frames, collect(["results/tables"])


def test_every_numeric_cell_has_a_value(run):
    _, frames, collected = run
    for name, frame in frames.items():
        table = TABLES.load(name)
        if not table.published:
            assert not any(ident.startswith(f"{name}/") for ident in collected["values"])
            continue
        ends = {end for c in table.columns.values() for end in (c.low, c.high)}
        for column, about in table.columns.items():
            if about.numeric and column not in ends:
                for key, number in zip(frame["key"], frame[column], strict=True):
                    value = collected["values"][value_id(name, key, column)]["value"]
                    assert (
                        value == number
                        or (value is None and number is not number)
                        or (value is None and str(number) == "<NA>")
                    )


def test_a_value_leads_back_to_its_row_and_record(run):
    folder, frames, collected = run
    value = collected["values"]["cells/steps/grid/mdm-grid/mdm/steps~4+new~32+batch~1/ratio"]
    [source] = value["source"]
    assert hashlib.sha256((folder / source["path"]).read_bytes()).hexdigest() == source["sha256"]
    row = frames["cells"].iloc[source["rows"][0]]
    assert (row["ratio"], row["ratio_low"], row["ratio_high"]) == (
        value["value"],
        value["ci_low"],
        value["ci_high"],
    )
    assert value["n"] == row["n_pairs"] and value["unit"] == "×" and value["rule"] == "tabulate"
    [record] = value["records"]
    assert hashlib.sha256((folder / record).read_bytes()).hexdigest() == collected["records"][record]


def test_ids_are_readable_and_ascii(run):
    assert all(re.fullmatch(r"[a-z0-9._~+/-]+", ident) for ident in run[2]["values"])
    assert all(value["id"] == ident for ident, value in run[2]["values"].items())


def test_findings_rest_on_rows(run):
    folder, frames, collected = run
    values, words = collected["values"], collected["words"]
    assert values["finding/crossover/grid/steps"]["value"] == 4
    assert words["finding/crossover/grid/verdict"]["word"] == "faster"
    assert words["finding/crossover/sort/verdict"]["word"] == "none observed"
    assert values["finding/crossover/sort/steps_most"]["value"] == 8
    assert values["finding/noise/floor"]["value"] == frames["noise"]["half_width"].max()
    assert values["finding/answer/tasks"]["value"] == 3 and values["finding/answer/faster"]["value"] == 1
    assert words["finding/answer/verdict"]["word"] == "faster on some tasks"
    assert words["finding/batch/grid/lead"]["word"] == "shrinks"
    assert values["finding/memory/ratio"]["value"] == pytest.approx(17.8 / 7.56)
    assert values["finding/run/failed"]["value"] == 1 and values["finding/models/met"]["value"] == 2
    for ident, value in values.items():
        if ident.startswith("finding/"):
            [source] = value["source"]
            assert source["rows"] and (folder / source["path"]).is_file() and value["description"]
    assert all(ident in values for word in words.values() for ident in word["evidence"])
    told = {ident.split("/")[1] for ident in values if ident.startswith("finding/")}
    assert told == set(FINDINGS) - {"flood", "flood_model"}  # this run has no flood


def test_a_study_without_some_tables_still_collects(run):
    collected = collect(["results/tables/cells.parquet", "results/tables/noise.csv"])
    assert "finding/noise/floor" in collected["values"] and not any(
        "crossover" in i for i in collected["values"]
    )


def test_script_is_deterministic_and_writes_macros(run):
    folder, _, collected = run
    root = Path(__file__).parents[2]
    texts = []
    for name in ("a", "b"):
        command = [sys.executable, str(root / "scripts/collect_values.py"), "--tables", "results/tables"]
        command += ["--out-json", f"{name}.json", "--out-tex", f"{name}.tex"]
        subprocess.run(
            command,
            cwd=folder,
            check=True,
            capture_output=True,
            env={"PYTHONPATH": str(root), "PATH": "/usr/bin:/bin"},
        )
        texts.append(((folder / f"{name}.json").read_text(), (folder / f"{name}.tex").read_text()))
    assert texts[0] == texts[1]
    assert json.loads(texts[0][0]) == collected
    assert r"\newcommand{\FindingCrossoverGridSteps}{4}" in texts[0][1]
    names = re.findall(r"\\newcommand\{\\(\w+)\}\{", texts[0][1])
    assert len(set(names)) == len(names) and all(re.fullmatch("[A-Za-z]+", name) for name in names)


def test_an_unknown_table_is_told(run, tmp_path):
    from pardec.common.errors import UserError

    (tmp_path / "stepz.csv").write_text("key\n")
    with pytest.raises(UserError, match="did you mean 'steps'"):
        collect([tmp_path / "stepz.csv"])
    (tmp_path / "steps.csv").write_text("key,other\nx,1\n")
    with pytest.raises(UserError, match="columns of table 'steps'"):
        collect([tmp_path / "steps.csv"])


@pytest.mark.parametrize(
    ("value", "low", "high", "shown"),
    [
        (12.3456, 12.1, 12.6, ("12.35", "12.10", "12.60")),
        (12.3456, 11.0, 21.0, ("12", "11", "21")),
        (12345.6, 12000, 12800, ("12300", "12000", "12800")),
        (1.987, 1.95, 2.03, ("1.99", "1.95", "2.03")),
        (0.0, 0.0, 0.0878, ("0.00", "0.00", "0.09")),
        (1 / 3, None, None, ("0.333", None, None)),
        (1234.5, None, None, ("1230", None, None)),
        (64, None, None, ("64", None, None)),
        (1.0, 1 - 1e-14, 1 + 1e-14, ("1.0000", "1.0000", "1.0000")),
        (-0.001, -0.2, 0.2, ("0.00", "-0.20", "0.20")),
        (None, None, None, (None, None, None)),
    ],
)
def test_digits_come_from_the_interval(value, low, high, shown):
    assert rounded(value, low, high) == shown


@given(st.floats(1e-3, 1e5), st.floats(1e-3, 1.0))
def test_rounding_stays_well_inside_the_interval(value, share):
    half = value * share
    text, _, _ = rounded(value, value - half, value + half)
    assert abs(float(text) - value) <= 0.5 * half * (1 + 1e-9)


def test_macro_names_are_letters_only():
    assert macro_name("finding/batch/grid/top_16") == "FindingBatchGridTopOneSix"


def test_a_computed_finding_names_its_rows():
    pick = computed("finding/x", "cells", [{"key": "a"}, {"key": "b"}], 2, "two", n=2)
    assert pick.keys == ("a", "b") and pick.computed
