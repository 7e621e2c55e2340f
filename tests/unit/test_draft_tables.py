"""The drafting tables and verdicts, from synthetic records whose effects are known; forged arms are caught."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pardec.evidence import drafting
from pardec.evidence.ideas import BEST_FIXED
from pardec.evidence.tables import models
from pardec.evidence.tables.draft import ALL
from pardec.evidence.tables.ideas import best_fixed
from pardec.evidence.tables.inputs import Inputs, Source, rows_of
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.verdicts import (
    EQUIVALENT,
    IMPLEMENTED,
    INCONCLUSIVE,
    PROPOSED,
    REJECTED,
    VALIDATED,
    judge_ideas,
)
from tests import draft_factories as made
from tests.draft_factories import AR, BASE, BASELINE, EFFECTS, FILE, IDEAS, REFERENCE, Arm, idea_records

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ideas(draft_run):
    return {row["arm"]: row for row in rows_of(draft_run[1]["ideas"])}


@pytest.fixture(scope="module")
def draft(draft_run):
    return {(row["arm"], row["task"]): row for row in rows_of(draft_run[1]["draft"])}


def small(*records):
    """Verdict rows of a few records beside the frame of reference."""
    listed = [body for one in records for body in (one if isinstance(one, list) else [one])]
    frames = made.frames([*made.least_frame(), *listed], ("draft_prompts", "draft", "ideas"))
    return {row["arm"]: row for row in rows_of(frames["ideas"])}, frames


@pytest.mark.parametrize(
    ("arm", "speed", "tau"),
    [
        ("ewma", REJECTED, EQUIVALENT),
        ("multi-round", VALIDATED, VALIDATED),
        ("seed-gated", EQUIVALENT, EQUIVALENT),
        ("seed-sparse", REJECTED, REJECTED),
        ("tree", VALIDATED, VALIDATED),
        ("tree-candidates", INCONCLUSIVE, VALIDATED),
        ("tree-wide", REJECTED, VALIDATED),
        ("candidates", REJECTED, VALIDATED),
        ("confidence", REJECTED, REJECTED),
        ("eos-aware", INCONCLUSIVE, INCONCLUSIVE),
        ("rank-suffix", PROPOSED, PROPOSED),
    ],
)
def test_speed_and_tau_are_judged_apart(ideas, arm, speed, tau):
    assert (ideas[arm]["speed_status"], ideas[arm]["tau_status"]) == (speed, tau)
    assert ideas[arm]["status"] == speed


def test_intervals_hold_the_effects_that_were_put_in(ideas):
    for name, arm in EFFECTS.items():
        row = ideas[name]
        fixed = row["against"] == BEST_FIXED
        truth = arm.speed / (1.1**0.25 if fixed else 1.0)
        # Speeds are of the decoding time; the prompt's own millisecond is the same on both sides.
        whole = 5 / (1 + 4 / truth)
        assert row["ratio"] == pytest.approx(whole, rel=0.08), name
        assert row["ratio_low"] <= row["ratio"] <= row["ratio_high"]
        assert row["prompts"] == 32 and row["workloads"] == 4 and row["runs"] == 2


def test_an_idea_that_writes_other_tokens_is_rejected_however_fast(ideas, draft):
    assert ideas["confidence"]["ratio_low"] > 1.03
    assert ideas["confidence"]["lossless"] is False
    assert draft["confidence", ALL]["lossless"] == pytest.approx(0.75)
    assert draft["tree", ALL]["lossless"] == 1


def test_a_silent_fallback_is_flagged_and_never_judged_faster(draft, ideas):
    assert draft["eos-aware", "grid"]["fell_back"] is True
    assert draft["tree", "grid"]["fell_back"] is False
    assert draft[REFERENCE, "grid"]["fell_back"] is None
    quick, _ = small(idea_records(Arm("tree", 1.5, undrafted=0.95), replace(BASE, name="tree-off")))
    assert quick["tree"]["ratio_low"] > 1.03
    assert quick["tree"]["status"] == INCONCLUSIVE


def test_an_arm_that_drafts_nothing_at_all_fell_back(draft_run):
    body = made.record(Arm("tree"), "grid", BASE)
    for sample in body["samples"]:
        del sample["cycles"]
    _, frames = small(body)
    assert [
        r["fell_back"] for r in rows_of(frames["draft"]) if (r["arm"], r["task"]) == ("tree", "grid")
    ] == [True]


def test_an_arm_that_knows_the_target_is_caught():
    result, frames = small(idea_records(Arm("tree", 2.0, peeks=True), replace(BASE, name="tree-off")))
    assert result["tree"]["peeked"] and result["tree"]["status"] == REJECTED
    assert sum(r["impossible"] for r in rows_of(frames["draft_prompts"]) if r["arm"] == "tree") > 0


def test_a_draft_that_is_the_target_commits_the_block_and_is_possible():
    body = made.record(Arm("tree"), "grid", BASE)
    for sample in body["samples"]:
        for cycle in sample["cycles"]:
            cycle |= {"tau": cycle["block"]}
    _, frames = small(body)
    row = next(r for r in rows_of(frames["draft"]) if (r["arm"], r["task"]) == ("tree", "grid"))
    assert row["tau"] == 8 and row["impossible"] == 0


def test_an_always_wrong_draft_has_a_tau_of_one_and_stays_lossless():
    body = made.record(Arm("seed-dense", 0.3), "grid", BASE)
    for sample in body["samples"]:
        for cycle in sample["cycles"]:
            cycle |= {"tau": 1, "accepted": 0}
    _, frames = small(body)
    row = next(r for r in rows_of(frames["draft"]) if (r["arm"], r["task"]) == ("seed-dense", "grid"))
    assert row["tau"] == 1 and row["ratio"] < 1 and row["lossless"] == 1


@pytest.mark.parametrize(
    ("control", "expected"),
    [
        (replace(BASE, name="tree-off"), VALIDATED),
        (replace(BASE, name="tree-off", tau=1), INCONCLUSIVE),
        (replace(BASE, name="tree-off", wrong=0.2), INCONCLUSIVE),
        (None, IMPLEMENTED),
    ],
)
def test_the_mechanism_control_decides_what_may_be_judged(control, expected):
    result, _ = small(idea_records(EFFECTS["tree"], control))
    assert result["tree"]["status"] == expected
    assert result["tree"]["control"] is {VALIDATED: True, INCONCLUSIVE: False, IMPLEMENTED: None}[expected]


def test_a_control_that_lacks_a_workload_proves_nothing():
    records = idea_records(EFFECTS["tree"], replace(BASE, name="tree-off"))
    lacking = [
        body for body in records if not (body["cell"]["arm"] == "tree-off" and body["cell"]["task"] == "text")
    ]
    assert small(lacking)[0]["tree"]["status"] == IMPLEMENTED


def test_one_run_is_no_evidence():
    result, _ = small(idea_records(EFFECTS["tree"], replace(BASE, name="tree-off"), runs=(1,)))
    row = result["tree"]
    assert row["status"] == INCONCLUSIVE and "a single run" in row["speed_reason"]
    assert row["speed_prompts_needed"] > row["prompts"] and row["speed_runs_needed"] == 2


def test_the_noise_of_an_arm_against_itself_widens_what_counts_as_no_difference(ideas):
    assert ideas["tree"]["margin"] == 0.03
    frames = made.frames(made.least_frame(noise=0.6), ("draft_prompts", "draft", "ideas"))
    assert all(row["margin"] > 0.03 for row in rows_of(frames["ideas"]))


def test_the_best_fixed_block_is_chosen_by_workload_on_other_prompts(draft_run):
    prompts = rows_of(draft_run[1]["draft_prompts"])
    assert best_fixed(prompts, BASELINE) == {
        "grid": "draft-16",
        "arithmetic": BASELINE,
        "sort": BASELINE,
        "text": BASELINE,
    }
    tuned = {row["prompt"] for row in prompts if row["tuning"]}
    measured = {row["prompt"] for row in prompts if not row["tuning"]}
    assert tuned and measured and not tuned & measured


def test_adaptive_ideas_are_held_against_that_block(ideas, draft_run):
    held = {
        row["task"]: row["against"] for row in rows_of(draft_run[1]["draft_prompts"]) if row["arm"] == "ewma"
    }
    assert set(held.values()) <= {BASELINE, "draft-16", REFERENCE}
    assert ideas["ewma"]["ratio"] < 0.97, "against the plain draft alone it would look better"


def test_both_taus_are_defined_and_differ(draft):
    row = draft[BASELINE, ALL]
    pooled = (
        sum(r["tau"] * r["cycles"] for (a, t), r in draft.items() if a == BASELINE and t != ALL)
        / row["cycles"]
    )
    assert row["tau"] == pytest.approx(pooled)
    assert row["tau_low"] <= row["tau"] <= row["tau_high"] and row["prompts"] > 1
    assert row["tau_mean_low"] <= row["tau_mean"] <= row["tau_mean_high"]
    assert row["tau_mean"] > row["tau"] + 0.5, "workloads of long texts and small tau weigh more when pooled"


def test_a_floor_of_tau_is_what_all_prompts_commit(draft_run, draft):
    reached = draft[BASELINE, "grid"]
    floor = {"workload": "grid", "arm": BASELINE, "metric": "tau"}
    asked = [
        {**floor, "value": reached["tau"] - 0.1},
        {**floor, "value": reached["tau"] + 0.1},
        {**floor, "arm": "nobody", "value": 2},
    ]
    source = Source("results/floors.json", "0" * 64, {"floors": asked, "likelihood_gap": None})
    # Rows of one key would be refused as a table; what a floor finds is asked here.
    below, above, absent = models.build(Inputs(floors=source, tables=draft_run[1]))
    assert below["met"] and not above["met"] and "met" not in absent
    assert below["value"] == reached["tau"] and below["n"] == reached["prompts"] and below["record"]
    assert below["value_low"] <= below["value"] <= below["value_high"]


def test_phases_of_a_cycle_add_up(draft):
    row = draft["tree", "grid"]
    assert row["draft_share"] + row["verify_share"] + row["overhead_share"] == pytest.approx(1)
    assert row["draft_share"] == pytest.approx(0.3) and row["accounted_share"] == pytest.approx(0.95)
    assert row["ttft_ms"] == pytest.approx(1.0)
    assert 0 < row["first_draft_ms"] < row["decode_ms"]


def test_acceptance_by_position(draft_run):
    rows = [r for r in rows_of(draft_run[1]["cycles"]) if (r["arm"], r["task"]) == (BASELINE, "grid")]
    by = {row["position"]: row for row in rows}
    assert [row["position"] for row in rows] == list(range(1, 9))
    assert by[6]["share"] == 1 and by[5]["acceptance"] == 1 and by[6]["acceptance"] == 0
    assert by[7]["reached"] == 0 and by[7]["acceptance"] is None


def test_the_trace_holds_each_cycle_in_order(draft_run):
    rows = [
        r
        for r in rows_of(draft_run[1]["cycle_trace"])
        if (r["arm"], r["task"], r["prompt"]) == (BASELINE, "sort", "p0")
    ]
    assert [row["cycle"] for row in rows] == list(range(len(rows)))
    assert [row["token"] for row in rows] == [1 + 4 * k for k in range(len(rows))]
    assert sum(row["tau"] for row in rows) == made.NEW - 1
    assert all(r["cycle_ms"] == pytest.approx(r["draft_ms"] + r["verify_ms"] + r["other_ms"]) for r in rows)


def test_cost_of_width_and_the_tau_that_pays(draft_run):
    rows = {row["nodes"]: row for row in rows_of(draft_run[1]["verify_cost"]) if row["model"] == "ar-grid"}
    assert list(rows) == [1, 8, 16, 32, 48, 64]
    assert rows[1]["cost"] == 1 and rows[64]["cost"] == pytest.approx(0.584 / 0.206, rel=0.05)
    for row in rows.values():
        assert row["break_even_tau"] == pytest.approx(
            (row["draft_ms"] + row["verify_ms"]) / rows[1]["verify_ms"], rel=0.01
        )
    assert rows[8]["gain_needed"] == 1 < rows[16]["gain_needed"] < rows[64]["gain_needed"]


def test_a_failed_cell_keeps_its_row_and_counts_for_nothing():
    body = made.record(Arm("tree"), "grid", BASE) | {
        "status": "oom",
        "reason": "out of memory",
        "samples": [],
    }
    body["reference"]["samples"] = []
    result, frames = small(body)
    row = next(r for r in rows_of(frames["draft"]) if (r["arm"], r["task"]) == ("tree", "grid"))
    assert (row["status"], row["ratio"], row["tau"]) == ("oom", None, None)
    assert result["tree"]["status"] == PROPOSED


def test_drawn_outputs_are_not_held_against_greedy_ones(draft, ideas):
    assert draft["multi-round", ALL]["lossless"] is None
    assert ideas["multi-round"]["by_law"] and ideas["multi-round"]["against"] == "sampled"


def test_without_the_experiment_every_table_is_empty_and_legal(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made_frames = {}
    for name in made.TABLES:
        made_frames[name] = TABLES.load(name).make(Inputs(tables=dict(made_frames)))
        assert len(made_frames[name]) == 0
    judged = judge_ideas([], {})["ideas"]
    assert {idea["status"] for idea in judged} == {PROPOSED} and len(judged) == len(IDEAS)


def test_every_idea_of_the_seed_is_there_and_says_what_it_is():
    assert FILE.seeded == 10 and len(IDEAS) >= 14
    assert len({idea.id for idea in IDEAS}) == len(IDEAS)
    for idea in IDEAS:
        assert idea.what and idea.hope and idea.why and idea.settings
        assert idea.instrument or all(setting.control for setting in idea.settings)
    arms = [setting.arm for idea in IDEAS for setting in idea.settings]
    assert len(arms) == len(set(arms)) and AR.name not in arms


def test_cut_prompts_have_greedy_outputs_of_their_own():
    def side(arm, decoder, prompt_tokens, written):
        cell = {
            "model": "m",
            "new_tokens": 4,
            "decoder": decoder,
            "settings": {},
            "prompt_tokens": prompt_tokens,
        }
        return drafting.Side(arm, cell, [], {"p0": written}, {}, {})

    def trial(mine):
        return drafting.Trial(None, "copy", 1, False, mine)

    short, long = (side("ar", "autoregressive", cut, (cut, 2)) for cut in (8, 16))
    greedy = drafting.greedy_outputs([trial(short), trial(long)])
    for mine in (short, long):
        draft = side("draft", "speculative", mine.cell["prompt_tokens"], mine.outputs["p0"])
        assert drafting.held(trial(draft), "p0", greedy)["lossless"]
