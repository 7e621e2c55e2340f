"""Faults seen in published harnesses of this field, in what tables make of the records of cells."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest

from pardec.common.errors import UserError
from pardec.common.files import write_json
from pardec.evidence.tables.inputs import gather, write_table
from pardec.evidence.tables.registry import TABLES
from tests import factories
from tests.faults import arms

AR, MDM = (factories.cell("steps", "grid", steps) for steps in (None, 4))


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def row(body: dict) -> dict:
    write_json("timing.json", body)
    return arms.table_rows(["timing.json"])[0]


def tables(*names: str, change=lambda body: None) -> dict[str, list[dict]]:
    """Tables of the synthetic study, every record changed first."""
    from pathlib import Path

    paths = factories.write_study(Path()) | {"tables": ["results/tables"]}
    for path in paths["records"]:
        body = json.loads(Path(path).read_text())
        change(body)
        write_json(path, body)
    made = {}
    for name in TABLES:
        if name in (*names, "cells", "noise", "steps"):
            frame = TABLES.load(name).make(gather(name, paths))
            write_table(frame, f"results/tables/{name}.csv", f"results/tables/{name}.parquet")
            made[name] = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return made


# Names that would be no key of a row.


@pytest.mark.parametrize("name", ["", ":", "-/-", " "])
@pytest.mark.parametrize("field", ["id", "experiment", "task", "model", "decoder", "arm"])
def test_a_name_without_a_letter_or_digit_is_told(field, name):
    body = copy.deepcopy(factories.record(MDM, AR, n=6))
    body["cell"][field] = name
    with pytest.raises(UserError, match=rf"timing.json.*cell\.{field}"):
        row(body)


# Useful tokens on one side, the full canvas on the other.


def test_throughput_counts_useful_tokens_on_both_sides():
    body = factories.record(MDM, AR, n=12)
    rng = np.random.default_rng(4)
    for mine, other in zip(body["samples"], body["reference"]["samples"], strict=True):
        mine["useful"], other["useful"] = (int(k) for k in rng.integers(1, 30, 2))
    result = row(body)
    rates = [
        np.median([s["useful"] / s["e2e_ms"] for s in side["samples"]]) for side in (body, body["reference"])
    ]
    assert result["tokens_per_s"] == pytest.approx(1000 * rates[0])
    assert result["throughput_ratio"] == pytest.approx(rates[0] / rates[1])
    canvas = np.median([s["canvas"] / s["e2e_ms"] for s in body["samples"]])
    assert result["canvas_tokens_per_s"] == pytest.approx(1000 * canvas)
    # The latency ratio knows nothing of what was useful.
    for side in (body, body["reference"]):
        for sample in side["samples"]:
            sample["useful"] = 1
    assert row(body)["ratio"] == result["ratio"]


def test_a_batch_gives_the_tokens_of_all_its_rows():
    one, eight = (factories.cell("steps", "grid", 4, batch=batch) for batch in (1, 8))
    bodies = [factories.record(cell, None) for cell in (one, eight)]
    for body in bodies:
        for sample in body["samples"]:
            sample["e2e_ms"] = 10.0
    rates = [row(body)["tokens_per_s"] for body in bodies]
    assert rates[1] == pytest.approx(8 * rates[0])


# Accuracy that moves with the batch size.


def test_outputs_that_differ_by_batch_are_told():
    bodies = [factories.record(factories.cell("batch", "grid", 4, batch=b), None) for b in (1, 4)]
    paths = ["one.json", "four.json"]

    def verdicts():
        for path, body in zip(paths, bodies, strict=True):
            write_json(path, body)
        return [result["outputs_agree"] for result in arms.table_rows(paths)]

    assert verdicts() == [True, True]
    bodies[1]["outputs"][0]["tokens"] = [5, 6, 8]
    assert verdicts() == [False, False]


# A likelihood bound compared with an exact perplexity.


def test_a_bound_and_an_exact_likelihood_never_share_a_column():
    rows = {result["model"]: result for result in tables("likelihood")["likelihood"]}
    exact, bound = rows["ar-text"], rows["mdm-text"]
    assert (exact["kind"], exact["exact_nats_per_token"], exact["bound_nats_per_token"]) == (
        "exact",
        2.0,
        None,
    )
    assert (bound["kind"], bound["exact_nats_per_token"], bound["bound_nats_per_token"]) == (
        "bound",
        None,
        3.1,
    )
    for result in rows.values():
        numbers = {name for name, value in result.items() if isinstance(value, float)}
        stem = result["kind"]
        assert numbers == {f"{stem}_nats_per_token", f"{stem}_low", f"{stem}_high"}


def test_no_table_has_a_column_that_mixes_them():
    for name in TABLES:
        for column in TABLES.load(name).all_columns:
            assert "perplexity" not in column
            if "nats_per_token" in column:
                assert "exact" in column or "bound" in column, f"{name}.{column}"


@pytest.mark.parametrize("kind", ["perplexity", None])
def test_a_likelihood_of_unsaid_kind_is_refused(kind):
    path = "results/quality/likelihood/m.json"
    write_json(path, {"kind": kind, "nats_per_token": 2.0})
    with pytest.raises(UserError, match="kind exact or bound"):
        TABLES.load("likelihood").make(gather("likelihood", {"likelihoods": [path]}))


def test_the_two_kinds_come_from_the_attention_of_the_model(tmp_path):
    from pardec.models.load import load_model
    from pardec.quality.likelihood import as_json, bound_likelihood, exact_likelihood

    prompts, answers = [[1, 5], [1, 6]], [[7, 2], [8, 9]]
    exact = as_json(exact_likelihood(load_model(arms.write_model(tmp_path / "a", True)), prompts, answers, 1))
    model = load_model(arms.write_model(tmp_path / "m", False))
    bound = as_json(bound_likelihood(model, prompts, answers, ["p", "q"], 4, 1))
    assert (exact["kind"], exact["column"]) == ("exact", "exact_nats_per_token")
    assert (bound["kind"], bound["column"]) == ("bound", "bound_nats_per_token")


# "FLOPs saved" printed as speedup.

RATIOS = ("ratio", "ratio_low", "ratio_high", "throughput_ratio")


def test_counted_work_moves_no_ratio():
    def saved(body):
        if body["status"] == "ok":
            body["work"] = {"flops_per_output": 1.0, "bytes_per_output": 1.0, "forwards": 1}
            for sample in body["samples"]:
                sample["nfe"], sample["token_forwards"] = 1, 1

    before, after = tables("crossover"), tables("crossover", change=saved)
    for name in ("steps", "crossover"):
        for old, new in zip(before[name], after[name], strict=True):
            shown = [column for column in old if "ratio" in column or "verdict" in column]
            assert "ratio" in shown
            assert {c: old[c] for c in shown} == {c: new[c] for c in shown}
    assert before["cells"][0]["flops_per_output"] != after["cells"][0]["flops_per_output"]


def test_a_ratio_is_the_ratio_of_times():
    body = factories.record(MDM, AR)
    before = row(body)
    for sample in body["reference"]["samples"]:
        sample["e2e_ms"] *= 3
    after = row(body)
    for name in RATIOS:
        assert after[name] == pytest.approx(3 * before[name]), name


# Acceptance lengths off by one.


def test_tokens_per_forward_and_tpot_are_exact():
    body = factories.record(MDM, None)
    for sample in body["samples"]:
        stamps = [10.0, 20.0, 30.0, 50.0]
        sample |= {"committed": [5, 3, 0, 2], "commit_ms": stamps, "first_ms": 10.0, "first_tokens": 5}
        sample |= {"nfe": 4, "e2e_ms": 50.0}
    result = row(body)
    assert result["tokens_per_forward"] == 10 / 4
    assert result["tpot_ms"] == pytest.approx((50 - 10) / (10 - 5))
    # A pass that commits nothing is no token: the reader waits from 20 to 50 ms.
    assert (result["itl_p50_ms"], result["ttft_ms"]) == (20.0, 10.0)


# Speedups from few prompts without an interval.


@pytest.mark.parametrize("pairs", [*range(1, 13), 40])
def test_a_ratio_has_an_interval_or_is_not_shown(pairs):
    result = row(factories.record(MDM, AR, n=pairs))
    assert result["n_pairs"] == pairs
    for name in ("ratio", "throughput_ratio"):
        low, value, high = (result[f"{name}{end}"] for end in ("_low", "", "_high"))
        if value is None:
            assert low is high is None and pairs < 6
        else:
            assert low < value < high


def test_one_prompt_over_and_over_is_marked():
    body = factories.record(MDM, AR, n=20)
    for side in (body, body["reference"]):
        for sample in side["samples"]:
            sample["prompts"] = ["p0"]
    result = row(body)
    assert result["n_prompts"] == 1 and result["one_prompt"]
    assert result["ratio_low"] < result["ratio"] < result["ratio_high"], (
        "repeats of one prompt do tell its time"
    )


def test_ten_noisy_prompts_show_no_difference():
    """Medians 5 % apart, with a spread of 40 %: nothing may be called faster."""

    def noisy(body):
        rng = np.random.default_rng([7, *body["cell"]["id"].encode()])
        sides = [(body["samples"], 1.0), ((body["reference"] or {"samples": []})["samples"], 1.05)]
        for samples, scale in sides:
            for k, sample in enumerate(samples):
                sample["e2e_ms"] = 20.0 * scale * float(rng.lognormal(sigma=0.4))
                sample["prompts"] = [f"p{k}"]
            del samples[10:]

    result = [r for r in tables(change=noisy)["steps"] if r["ratio"] is not None]
    assert len(result) == 12 and {r["n_pairs"] for r in result} <= {9, 10}
    assert {r["speed"] for r in result} == {"no difference shown"}


def test_every_published_ratio_stands_beside_its_interval():
    for name, rows in tables("batch", "length", "crossover", "pareto").items():
        columns = TABLES.load(name).all_columns
        ratios = [c for c, column in columns.items() if c.endswith("ratio") and column.numeric]
        for column in ratios:
            low, high = columns[column].low, columns[column].high
            assert low and high, f"{name}.{column} has no columns for its interval"
            for result in rows:
                assert (result[column] is None) == (result[low] is None) == (result[high] is None), name


# Failed cells dropped from the table.


@pytest.mark.parametrize("status", ["oom", "timeout", "failed", "unsupported"])
def test_failed_cells_stay_in_every_table_of_cells(status):
    lost = {("steps", 2), ("batch", 4), ("length", 4)}

    def fail(body):
        cell = body["cell"]
        if (cell["experiment"], cell["settings"].get("steps")) in lost:
            shape = {"samples": [], "memory": None, "work": None, "outputs": [], "warmup_ms": []}
            body |= {"status": status, "reason": "the test says so", **shape}
            if body["reference"]:
                body["reference"]["samples"] = []

    made = tables("batch", "length", "crossover", change=fail)
    planned = {body["cell"]["id"] for body in factories.study()[0]}
    assert {r["cell"] for r in made["cells"]} == planned
    for name in ("steps", "batch", "length", "noise"):
        assert {r["cell"] for r in made[name]} == {cell for cell in planned if cell.startswith(name)}, name
    for name in ("cells", "steps", "batch", "length"):
        failed = [r for r in made[name] if r["status"] == status and r["reason"] == "the test says so"]
        assert failed, name
        for result in failed:
            assert result["n"] == 0 and result["latency_ms"] is result["ratio"] is None
            assert (
                result["speed"] is None
                and result["verdict"] == "not comparable"
                and result["reference_model"]
            )
    # The series keeps its count, and no ratio stands for a cell that has none.
    assert len(made["crossover"]) == 3
    for new in made["crossover"]:
        assert new["tried"] == len(factories.STEPS) and new["fastest_steps"] != 2
        if new["steps"] == 2:
            assert new["status"] == status and new["ratio"] is None


def test_a_record_that_only_half_fails_is_refused():
    body = copy.deepcopy(factories.record(MDM, AR))
    body["samples"] = []
    with pytest.raises(UserError, match="says ok but has no samples"):
        row(body)
