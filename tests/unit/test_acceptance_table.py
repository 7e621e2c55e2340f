"""Table `acceptance`, and the entropies that a record keeps for it."""

from __future__ import annotations

import pytest
import torch

from pardec.decoding.divergence import plain_pass
from pardec.evidence.tables.inputs import rows_of
from tests import draft_factories as made
from tests.draft_factories import BASE
from tests.reference.models import backbone


def test_acceptance_by_how_sure_the_target_is():
    """Of six prompts the two surest accept all of each draft, the next three of four, the last none."""
    body = made.record(BASE, "grid", None, visits=1)
    for number, output in enumerate(body["outputs"]):
        output["entropy"] = number / 10
        sample = next(s for s in body["samples"] if s["prompts"] == [output["prompt"]])
        tau = (5, 5, 4, 4, 1, 1)[number] if number < 6 else None
        cycle = {"at_ms": 2.0, "tau": tau, "block": 5, "accepted": 0, "drafted": 4}
        sample["cycles"] = [cycle] * 3 + [{**cycle, "tau": 2}]
        if tau is None:
            del output["entropy"]
    rows = rows_of(made.frames([body], ("acceptance",))["acceptance"])
    by = {row["level"]: row for row in rows}
    assert list(by) == [1, 2, 3]
    assert {level: row["acceptance"] for level, row in by.items()} == {1: 1, 2: 0.75, 3: 0}
    assert all(0 <= row["acceptance_low"] <= row["acceptance_high"] <= 1 for row in rows)
    assert by[1]["acceptance_low"] == pytest.approx(0.862, abs=1e-3), "24 of 24 are no proof of all (Wilson)"
    assert {level: row["tau"] for level, row in by.items()} == {1: 5, 2: 4, 3: 1}
    assert {level: (row["prompts"], row["cycles"], row["reached"]) for level, row in by.items()} == {
        1: (2, 6, 24),
        2: (2, 6, 24),
        3: (2, 6, 6),
    }
    assert (by[2]["entropy_least"], by[2]["entropy_most"]) == (0.2, 0.3)


def test_records_without_entropies_have_no_row():
    body = made.record(BASE, "grid", None)
    for output in body["outputs"]:
        del output["entropy"]
    assert rows_of(made.frames([body], ("acceptance",))["acceptance"]) == []


def test_the_entropy_is_that_of_the_targets_predictions():
    model, prompt, output = backbone(True), [1, 5, 9], [4, 8, 20, 7]
    facts = plain_pass(model, torch.tensor([prompt]), torch.tensor(output), banned=(2,))
    with torch.no_grad():
        logits = model(torch.tensor([prompt + output]))[0, 2:-1].double()
    logits[:, 2] = -torch.inf
    expected = torch.distributions.Categorical(logits=logits).entropy().mean()
    assert facts.entropy == pytest.approx(float(expected), rel=1e-5)
