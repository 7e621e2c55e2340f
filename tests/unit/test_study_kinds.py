"""Names are free: an experiment's kind says what shows it, a label how it is called, a margin what counts as equal."""

import json

import pytest

from pardec.common.errors import UserError
from pardec.quality.registry import METRICS
from pardec.study.kinds import COMPARISON, KINDS, kind_of
from pardec.study.layers import lay_over
from pardec.study.load import load_study
from pardec.study.plan import Plan
from tests.tiny_study import ROOT, overlay


def tiny(**changes):
    return lay_over(overlay(), changes)


def asked(plan):
    return json.loads(plan.floors_json())


@pytest.mark.parametrize("name", [*KINDS, "mine", "Steps", "grid-8"])
def test_the_default_kind_is_the_name_where_it_is_one(name):
    assert kind_of(name) == (name if name in KINDS else COMPARISON)
    assert all(kind_of(name, kind) == kind for kind in KINDS)


def test_an_experiment_of_any_name_may_be_of_any_kind():
    mine = {"question": "Mine?", "grids": [{"workloads": ["w"], "arms": ["many"], "reference": "one"}]}
    _, cells = load_study(tiny(experiments={"mine": mine, "more": {**mine, "kind": "steps"}}))
    kinds = {cell.experiment: cell.experiment_kind for cell in cells.values()}
    assert kinds == {"steps": "steps", "mine": "comparison", "more": "steps"}
    with pytest.raises(UserError, match=r"experiments\.mine\.kind: is 'stesp'.*\n.*did you mean 'steps'"):
        load_study(tiny(experiments={"mine": {**mine, "kind": "stesp"}}))


def test_what_a_draft_costs_is_measured_for_the_kind_not_the_name():
    companion = {"model": "ar", "decoder": "speculative", "companions": {"draft": "small"}}
    companion["settings"] = {"drafter": {"name": "small"}}
    changes = {
        "arms": {"drafting": companion},
        "workloads": {"w": {"models": {"small": "m-ar"}}},
        "experiments": {
            "mine": {
                "question": "Mine?",
                "kind": "draft",
                "grids": [{"workloads": ["w"], "arms": ["drafting"], "reference": "one"}],
            }
        },
    }
    assert Plan(tiny(**changes), [], ROOT).drafted_models == ["m-ar"]
    del changes["experiments"]["mine"]["kind"]
    assert Plan(tiny(**changes), [], ROOT).drafted_models == []


def test_tables_are_told_kinds_labels_and_margins_and_nothing_else_changes():
    plain = Plan(tiny(), [], ROOT)
    changed = Plan(
        tiny(
            arms={"many": {"label": "LLaDA, \u201etiny\u201c"}},
            workloads={"w": {"label": "copy it"}},
            margins={"exact": 0.2},
            experiments={"steps": {"kind": "comparison"}},
            question="Is it so?",
        ),
        [],
        ROOT,
    )
    message = asked(changed)
    assert message["arms"] == {"many": "LLaDA, \u201etiny\u201c"} and message["workloads"] == {"w": "copy it"}
    assert message["margins"] == {"exact": 0.2} and message["kinds"] == {"steps": "comparison"}
    assert asked(plain)["kinds"] == {"steps": "steps"} and asked(plain)["arms"] == {}
    # Neither measured nor scored again for words.
    assert [changed.cell_job(cell) for cell in changed.cells] == [
        plain.cell_job(cell) for cell in plain.cells
    ]
    scored = [[*map(one.metric_words, one.outputs.values())] for one in (changed, plain)]
    assert scored[0] == scored[1]


@pytest.mark.parametrize(
    ("margins", "words"),
    [
        ({"exakt": 0.1}, ["margins.exakt", "did you mean 'exact'"]),
        ({"exact": -0.1}, ["margins.exact", "greater than or equal to 0"]),
        ({"exact": "small"}, ["margins.exact", "'small'", "number"]),
    ],
)
def test_a_wrong_margin_is_refused(margins, words):
    with pytest.raises(UserError) as caught:
        load_study(tiny(margins=margins))
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_declares_a_margin_in_its_unit(name):
    assert METRICS.load(name).margin > 0
