"""Tables from synthetic records: definitions, pairing, failures kept, and the crossover."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from pandera.errors import SchemaErrors

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.evidence.columns import columns
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.cells import Arms
from pardec.evidence.tables.inputs import Source, gather, read_table, sort_paths
from pardec.evidence.tables.pairs import clean, flags, gaps_ms, pair, tpot_ms
from pardec.evidence.tables.registry import FILES, TABLES, needs
from tests import factories
from tests.report_constants import PROMISED
from tests.script import run_script

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(built):
    return built


def only(frame: pd.DataFrame, **same) -> pd.Series:
    for column, wanted in same.items():
        frame = frame[frame[column].isna() if wanted is None else frame[column] == wanted]
    assert len(frame) == 1
    return frame.iloc[0]


def test_steps_has_the_promised_columns_one_row_a_cell(study):
    frame = study[1]["steps"]
    assert set(PROMISED) <= set(frame.columns)
    assert len(frame) == 3 * (1 + len(factories.STEPS)) and frame["key"].is_unique
    assert frame.columns.get_loc("latency_low") == frame.columns.get_loc("latency_ms") + 1


def test_medians_follow_the_law_the_records_were_drawn_from(study):
    row = only(study[1]["steps"], task="grid", decoder="masked_diffusion", steps=4)
    assert (
        row["latency_ms"] == pytest.approx(16, rel=0.05)
        and row["latency_low"] < row["latency_ms"] < row["latency_high"]
    )
    assert row["ratio"] == pytest.approx(2, rel=0.05) and row["n_pairs"] == 12 and row["n_prompts"] == 8
    assert row["tokens_per_s"] == pytest.approx(28 / 0.016, rel=0.05), "useful tokens, not the canvas"
    assert row["canvas_tokens_per_s"] / row["tokens_per_s"] == pytest.approx(32 / 28)
    assert row["nfe"] == 4 and row["tokens_per_forward"] == 8 and row["useful_tokens"] == 28
    assert row["mfu"] == pytest.approx(1e9 / (row["latency_ms"] / 1e3) / 100e9)
    assert row["mbu"] == pytest.approx(1e8 / (row["latency_ms"] / 1e3) / 10e9)


def test_throughput_counts_every_row_of_the_batch(study):
    one, many = (only(study[1]["batch"], decoder="autoregressive", batch=b) for b in (1, 16))
    assert many["tokens_per_s"] / one["tokens_per_s"] == pytest.approx(16 / 16**0.3, rel=0.1)
    assert many["useful_tokens"] == one["useful_tokens"] == 28, "per output, not per batch"


def test_a_flagged_sample_is_kept_but_not_used(study):
    row = only(study[1]["steps"], task="grid", steps=1)
    assert (row["n"], row["n_all"], row["n_pairs"]) == (11, 12, 11) and row["flags"] == "foreign_load:1"
    assert row["latency_high"] < 5, "the sample that took fifty times as long"
    samples = study[1]["samples"]
    assert samples[samples["cell"] == row["cell"]]["e2e_ms"].max() > 100, "raw data stay"


def test_failed_cells_stay_with_status_and_no_measurement(study):
    row = only(study[1]["length"], status="oom")
    assert (
        row["n"] == 0 and row["reason"] == "oom at batch 4" and row["batch"] == 4 and row["new_tokens"] == 128
    )
    assert (row["verdict"], row["verdict_reason"]) == ("not comparable", "the cell did not finish")
    for column in ("latency_ms", "ratio", "tokens_per_s", "peak_allocated_mb", "speed", "mfu"):
        assert row[column] is pd.NA
    assert only(study[1]["memory"], status="oom")["peak_allocated_mb"] is pd.NA


def test_crossover_is_the_fewest_steps_not_shown_worse(study):
    frame = study[1]["crossover"]
    grid = only(frame, task="grid")
    assert grid["observed"] and grid["steps"] == 4 and grid["verdict"] == "faster"
    steps = only(study[1]["steps"], task="grid", steps=4)
    assert (grid["ratio"], grid["ratio_low"], grid["record"].split()[0]) == (
        steps["ratio"],
        steps["ratio_low"],
        steps["record"],
    )
    sort = only(frame, task="sort")
    assert (
        not sort["observed"]
        and sort["steps"] is pd.NA
        and sort["steps_most"] == 8
        and sort["best_quality"] == 0.5
    )


def test_repetitive_text_does_not_count_as_equal_quality(study):
    """At 8 steps the likelihood matches, but half of the variety is gone."""
    row = only(study[1]["steps"], task="text", steps=8)
    assert row["quality_difference_low"] < 0 < row["quality_difference_high"]
    assert not row["gate"] and not only(study[1]["crossover"], task="text")["observed"]


def test_pareto_front(study):
    frame = study[1]["pareto"]
    grid = frame[frame["task"] == "grid"].set_index("cell")["on_front"]
    assert sum(grid) == 3 and not grid[grid.index.str.contains("ar-grid")].item()
    text = frame[(frame["task"] == "text") & frame["on_front"]]
    assert text["quality"].min() == frame[frame["task"] == "text"]["quality"].min(), "lower is better"


def test_growth_recovers_the_exponents(study):
    frame = study[1]["growth"]
    fit = only(frame, experiment="batch", decoder="masked_diffusion", quantity="tokens_per_s", span="all")
    assert fit["exponent"] == pytest.approx(0.1, abs=0.06) and fit["n"] == 3 and fit["batch"] is pd.NA
    fit = only(
        frame,
        experiment="length",
        decoder="autoregressive",
        quantity="working_mb",
        against="new_tokens",
        batch=1,
        span="all",
    )
    assert fit["exponent"] == pytest.approx(1) and fit["growth"] == pytest.approx(4)


def test_likelihood_and_bound_never_share_a_column(study):
    exact, bound = (only(study[1]["likelihood"], kind=kind) for kind in ("exact", "bound"))
    assert exact["exact_nats_per_token"] == 2.0 and exact["bound_nats_per_token"] is pd.NA
    assert bound["bound_nats_per_token"] == 3.1 and bound["exact_nats_per_token"] is pd.NA


def test_floors(study):
    frame = study[1]["models"]
    assert only(frame, task="grid")["met"] and not only(frame, task="sort")["met"]
    gap = only(frame, metric="bound_gap")
    assert gap["value"] == pytest.approx(1.1) and gap["met"] and gap["value_high"] == pytest.approx(1.3)


def test_noise_floor_and_verdicts(study):
    noise = study[1]["noise"]
    assert (noise["ratio"] - 1).abs().max() < 0.05 and (noise["half_width"] > 0).all()
    assert (study[1]["steps"]["noise_floor"] == noise["half_width"].max()).all()


def test_warmup_is_relative_to_the_steady_state(study):
    row = only(study[1]["warmup"], cell="steps/grid/ar-grid/ar/new~32+batch~1", **{"pass": 1})
    assert row["relative"] == pytest.approx(3, rel=0.1)


def test_csv_and_parquet_hold_the_same(study):
    for name, frame in study[1].items():
        for kind in ("csv", "parquet"):
            pd.testing.assert_frame_equal(read_table(name, study[0] / f"results/tables/{name}.{kind}"), frame)


def test_tables_do_not_depend_on_the_order_of_records(study):
    folder, frames = study
    paths = factories.write_study(folder)
    paths["records"].reverse()
    pd.testing.assert_frame_equal(TABLES.load("cells").make(gather("cells", paths)), frames["cells"])


def test_outputs_that_move_with_the_batch_are_seen(study, monkeypatch):
    folder, frames = study
    assert frames["cells"]["outputs_agree"].dropna().all() and frames["cells"]["outputs_agree"].notna().any()
    paths = factories.write_study(folder)
    target = "results/cells/batch/grid/ar-grid/ar/new~32+batch~16/timing.json"
    body = json.loads((folder / target).read_text())
    body["outputs"][0]["tokens"][1] += 1
    write_json(folder / target, body)
    cells = TABLES.load("cells").make(gather("cells", paths)).set_index("record")["outputs_agree"]
    factories.write_study(folder)
    assert cells[target] == False  # noqa: E712 (pandas' own boolean)
    assert cells["results/cells/batch/grid/mdm-grid/mdm/steps~4+new~32+batch~16/timing.json"]


@pytest.mark.parametrize(
    ("row", "check"),
    [
        ({"v": 1.0, "v_low": 2.0, "v_high": 3.0}, "low <= value <= high"),
        ({"v": 4.0, "v_low": 2.0, "v_high": 3.0}, "low <= value <= high"),
        ({"v": np.float32("inf")}, "finite"),
        ({"v_high": np.float32("-inf")}, "finite"),
    ],
)
def test_a_table_refuses_what_it_does_not_promise(row, check):
    described = columns("a text! | a name\nv interval ms | a time")
    good = [{"a": "one", "v": 1.0, "v_low": None, "v_high": 3.0}, {"a": "two", "v": None, "v_low": 2.0}]
    rows = list(good)
    table = Table("t", "a table", (), ("a",), described, lambda inputs: rows)
    assert len(table.make(None)) == 2
    rows.append({"a": "three", **row})
    with pytest.raises(SchemaErrors) as given:
        table.make(None)
    (case,) = given.value.schema_errors
    assert case.check.name == check and "three" in str(case)


@pytest.mark.parametrize("row", [{"a": "one"}, {"a": "three", "b": None}, {"a": "three"}])
def test_a_table_refuses_keys_twice_and_needed_entries_that_miss(row):
    described = columns("a text! | a name\nb count! | a number")
    rows = [{"a": "one", "b": 1}]
    table = Table("t", "a table", (), ("a",), described, lambda inputs: rows)
    assert len(table.make(None)) == 1
    rows.append({"b": 2, **row} if row["a"] == "one" else row)
    with pytest.raises(SchemaErrors):
        table.make(None)


def test_needs_name_files_or_tables_without_a_cycle():
    done: set[str] = set()
    for name in TABLES:
        assert all(wanted in FILES or wanted in done for wanted in needs(name)), (
            f"{name} stands before what it needs"
        )
        done.add(name)


def test_reading_needs_is_light():
    code = (
        "import sys; from pardec.evidence.tables.registry import TABLES, needs; [needs(n) for n in TABLES]\n"
    )
    code += "print([m for m in ('pandas', 'numpy', 'scipy', 'pandera', 'torch') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def run_tabulate(folder: Path, *words: str) -> subprocess.CompletedProcess:
    out = ("--out-csv", "out.csv", "--out-parquet", "out.parquet")
    return run_script("tabulate", *out, *words, folder=folder)


def test_script_reads_a_listing_and_names_a_damaged_record(tmp_path):
    paths = factories.write_study(tmp_path)
    listed = [*paths["records"], *paths["scores"], *paths["likelihoods"], *paths["machine"]]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    done = run_tabulate(tmp_path, "--table", "cells", "--inputs-from", "list.txt")
    assert done.returncode == 0, done.stderr
    assert len(pd.read_csv(tmp_path / "out.csv")) == len(paths["records"])

    (tmp_path / paths["records"][2]).write_text('{"cell": ')
    done = run_tabulate(tmp_path, "--table", "cells", "--inputs-from", "list.txt")
    assert done.returncode == 2 and paths["records"][2] in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: body.pop("status"),
        lambda body: body["cell"].pop("batch"),
        lambda body: body["samples"][4].pop("e2e_ms"),
        lambda body: body["samples"][4].update(e2e_ms="fast"),
        lambda body: body["samples"].append(body["samples"][0]),
        lambda body: body.update(samples=[]),
    ],
)
def test_an_incomplete_record_is_named(tmp_path, spoil):
    path = tmp_path / "timing.json"
    ar = factories.cell("steps", "grid", None)
    body = factories.record(factories.cell("steps", "grid", 4), ar)
    spoil(body)
    write_json(path, body)
    with pytest.raises(UserError, match=r"timing\.json"):
        TABLES.load("cells").make(gather("cells", {"records": [str(path)]}))


def test_missing_inputs_are_told(tmp_path):
    with pytest.raises(UserError, match="no records"):
        gather("cells", {})
    with pytest.raises(UserError, match="'cells'"):
        gather("noise", {"tables": [str(tmp_path)]})
    listing = tmp_path / "list.txt"
    listing.write_text("results/strange.bin\n")
    with pytest.raises(UserError, match=r"strange\.bin"):
        sort_paths(listing)


def test_pairs_keep_blocks_and_prompts_together():
    def one(block, prompts, ms, flags=()):
        return {"block": block, "prompts": prompts, "e2e_ms": ms, "flags": list(flags)}

    cell = [one(0, ["a"], 1), one(1, ["b"], 2), one(2, ["c"], 3)]
    reference = [one(1, ["b"], 20), one(0, ["a"], 10), one(2, ["z"], 30)]
    pairs = pair(cell, reference)
    assert [(a["e2e_ms"], b["e2e_ms"]) for a, b in zip(pairs.cell, pairs.reference, strict=True)] == [
        (1, 10),
        (2, 20),
    ]
    reference[1]["flags"] = ["throttled"]
    assert len(pair(cell, reference)) == 1, "a flag on either side takes the pair out"
    with pytest.raises(ValueError, match="share block"):
        pair([*cell, cell[0]], reference)
    spoiled = [one(0, ["a"], 1, ["x"]), one(1, ["b"], 2, ["x"])]
    assert clean(spoiled) == spoiled and flags(spoiled) == "x:2 no_clean_sample"


def test_definitions_of_tpot_and_itl():
    sample = {
        "e2e_ms": 110.0,
        "first_ms": 20.0,
        "first_tokens": 1,
        "commit_ms": [20, 50, 80, 110],
        "committed": [1, 0, 4, 5],
    }
    assert tpot_ms(sample) == pytest.approx(90 / 9)
    assert gaps_ms(sample) == [60, 30], "a pass that commits nothing is no token to anybody"
    assert tpot_ms({"e2e_ms": 50.0, "first_ms": 50.0, "first_tokens": 10, "committed": [10]}) == 5.0


def test_a_reference_is_the_cell_of_its_arm_engine_and_prompts():
    plain = {"companions": {}, "tuning": False, **factories.cell("steps", "grid", None)}
    variants = ({}, {"engine": "compiled"}, {"tuning": True}, {"arm": "ar-2"}, {"batch": 2})
    cells = [plain | other | {"id": str(number)} for number, other in enumerate(variants)]
    arms = Arms(tuple(Source(cell["id"], "0", {"cell": cell}) for cell in cells))
    assert [arms.cell_id(cell) for cell in cells] == [cell["id"] for cell in cells]
    assert arms.cell_id(plain | {"arm": "unknown"}) == "0", "the same configuration under another name"
    assert arms.cell_id(plain | {"engine": "another"}) is None
