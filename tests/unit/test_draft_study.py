"""The studies that draft bring all evidence that a verdict asks for."""

from __future__ import annotations

from pathlib import Path

import pytest

from pardec.evidence.ideas import BEST_FIXED
from pardec.evidence.verdicts import LEAST_PROMPTS, LEAST_RUNS, LEAST_WORKLOADS
from pardec.study.layers import read_study
from pardec.study.load import load_study
from tests.draft_factories import BASELINE, IDEAS, REFERENCE, SAMPLED

ROOT = Path(__file__).parents[2]
KINDS = ("schedule", "seeding", "refinement", "truncation", "proposal")


def cells_of(*files):
    study, cells = load_study(read_study(ROOT, [ROOT / file for file in files])[0])
    return study, [cell for cell in cells.values() if cell.experiment == "draft"]


@pytest.fixture(scope="module", params=["paper", "draft"])
def given(request):
    return *cells_of(f"studies/{request.param}.yaml"), request.param == "draft"


def paired(cells, arm, *against):
    return [c for c in cells if c.arm == arm and not c.tuning and c.reference and c.reference.arm in against]


def test_each_idea_gets_its_runs_workloads_prompts_and_control(given):
    _, cells, _ = given
    for idea in IDEAS:
        setting = idea.settings[0]
        against = BASELINE if setting.against in (None, BEST_FIXED) else setting.against
        mine = paired(cells, setting.arm, REFERENCE if idea.instrument else against)
        tasks = {cell.workload for cell in mine}
        for task in tasks:
            assert len({cell.run for cell in mine if cell.workload == task}) >= LEAST_RUNS, idea.id
        prompts = {cell.workload: cell.measure.prompts for cell in mine}
        assert len(tasks) >= max(4, LEAST_WORKLOADS) and sum(prompts.values()) >= LEAST_PROMPTS, idea.id
        if not idea.instrument:
            base = SAMPLED if idea.by_law else BASELINE
            assert {cell.workload for cell in paired(cells, setting.control, base)} == tasks, idea.id


def test_the_plain_draft_is_held_against_sequential_decoding_and_itself(given):
    _, cells, _ = given
    for other in (REFERENCE, BASELINE):
        assert {(c.workload, c.run) for c in paired(cells, BASELINE, other)} == {
            (task, run) for task in ("grid", "arithmetic", "sort", "text") for run in (1, 2)
        }


def test_fixed_blocks_are_chosen_on_other_prompts(given):
    """And what may be chosen is run against where a short block may win."""
    _, cells, full = given
    tuned = {(cell.arm, cell.workload) for cell in cells if cell.tuning}
    blocks = ("draft-4", "draft-16") if full else ("draft-4",)
    assert tuned == {(arm, task) for arm in blocks for task in ("grid", "arithmetic", "sort", "text")}
    for arm in (idea.settings[0].arm for idea in IDEAS if idea.settings[0].against == BEST_FIXED):
        for block in blocks:
            assert {cell.workload for cell in paired(cells, arm, block)} >= {"sort", "text"}


def test_an_arm_that_is_switched_off_is_the_ideas_own_strategy(given):
    study, _, full = given
    for idea in IDEAS:
        for setting in idea.settings if full else idea.settings[:1]:
            if setting.control is None:
                continue
            on, off = (study.arms[arm].settings for arm in (setting.arm, setting.control))
            # Held against a drawn draft or a fixed block, an idea still changes the plain one.
            held = None if setting.against in (BEST_FIXED, "multi-round") else setting.against
            plain = study.arms[held or (SAMPLED if idea.by_law else BASELINE)].settings
            changed = [kind for kind in KINDS if getattr(on, kind) != getattr(plain, kind)] or ["drafter"]
            assert len(changed) == 1, setting.arm
            (kind,) = changed
            assert getattr(off, kind).name == getattr(on, kind).name, setting.arm
            assert getattr(off, kind) not in (getattr(on, kind), getattr(plain, kind)), setting.arm


def test_the_full_study_runs_every_setting():
    _, cells = cells_of("studies/draft.yaml")
    run = {cell.arm for cell in cells}
    for idea in IDEAS:
        for setting in idea.settings:
            assert setting.arm in run and setting.control in run | {None}, setting.arm
