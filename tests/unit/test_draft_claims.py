"""Verdicts of drafting ideas as a script, and the claims of the seed document on drafting."""

from __future__ import annotations

import json

import pytest

from pardec.evidence.claims import judge
from pardec.evidence.verdicts import INCONCLUSIVE, VALIDATED, judge_ideas
from tests.script import run_script


def test_verdicts_as_a_script(draft_run, monkeypatch):
    folder, _, values, published = draft_run
    words = ["--values", "results/values.json", "--table", "results/tables/ideas.parquet"]
    done = run_script("judge_ideas", *words, "--out", "results/verdicts.json", folder=folder)
    assert done.returncode == 0, done.stderr
    judged = json.loads((folder / "results/verdicts.json").read_text())
    assert judged == json.loads(json.dumps(judge_ideas(published["ideas"], values)))
    by_id = {idea["id"]: idea for idea in judged["ideas"]}
    assert by_id["tree"]["status"] == VALIDATED and by_id["tree"]["sentence"].startswith(
        "Faster: throughput is"
    )
    assert by_id["confidence"]["sentence"].startswith("Not lossless")
    assert by_id["profile"]["status"] == VALIDATED
    assert "would" in by_id["tree-lite"]["sentence"]
    assert len(by_id["tree"]["settings"]) == 3 and len(by_id["tree"]["settings"][0]["runs"]) == 2
    assert (folder / "results/verdicts.provenance.json").is_file()


@pytest.mark.parametrize(
    ("claim", "verdict"),
    [
        ("003.1", "not testable here"),
        ("003.2", "reproduced"),
        ("003.3", "contradicted"),
        ("003.4", "not run yet"),
        ("003.5", "contradicted"),
        ("003.6", "not run yet"),
        ("003.7", "contradicted"),
        ("003.8", "not run yet"),
        ("003.9", "reproduced"),
        ("003.10", "not testable here"),
        ("003.11", "reproduced"),
        ("003.12", "reproduced"),
        ("003.13", "reproduced"),
    ],
)
def test_claims_of_the_seed(draft_run, claim, verdict):
    _, _, values, published = draft_run
    judged = {one["id"]: one for one in judge(published, values)["claims"]}
    assert judged[claim]["verdict"] == verdict
    assert judged[claim]["measured"] or verdict == "not run yet"


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"ratio_low": None}, "too few prompts"), ({"lossless": False}, "did not write the target's tokens")],
)
def test_an_arm_that_ran_is_never_said_not_to_have_run(draft_run, change, reason):
    _, _, values, published = draft_run
    rows = [row | (change if row["arm"].startswith("tree") else {}) for row in published["ideas"]]
    judged = {one["id"]: one for one in judge(published | {"ideas": rows}, values)["claims"]}
    assert judged["003.9"]["verdict"] == "not testable here" and reason in judged["003.9"]["reason"]


@pytest.mark.parametrize(
    ("high", "control", "verdict"),
    [(0.98, True, "reproduced"), (1.5, True, "not testable here"), (0.98, False, "not testable here")],
)
def test_no_gain_is_shown_by_an_interval_that_allows_none(draft_run, high, control, verdict):
    """The interval may leave open whether it is a loss, and still exclude a gain."""
    _, _, values, published = draft_run
    change = {
        "speed_status": INCONCLUSIVE,
        "control": control,
        "ratio_low": 0.9,
        "ratio": 0.95,
        "ratio_high": high,
    }
    rows = [row | (change if row["arm"] == "multi-round" else {}) for row in published["ideas"]]
    judged = {one["id"]: one for one in judge(published | {"ideas": rows}, values)["claims"]}
    assert judged["003.7"]["verdict"] == verdict


def test_a_rival_that_was_not_timed_is_said_to_be_lacking(draft_run):
    _, _, values, published = draft_run
    ewma = next(row for row in published["ideas"] if row["arm"] == "ewma")
    mine = ("arm", "idea", "setting", "deciding")
    rows = [
        ewma | {column: row[column] for column in mine} if row["arm"] == "break-even" else row
        for row in published["ideas"]
    ]
    judged = {one["id"]: one for one in judge(published | {"ideas": rows}, values)["claims"]}
    assert judged["003.6"]["reason"].startswith("study")
