"""What a judged claim notes: its parts, its reason, the values that it compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from pardec.evidence.claims import CONTRADICTED, NOT_TESTABLE, REPRODUCED, SHIPPED, UNDECIDED, judge
from tests.claim_rows import BY_ID, published, row, verdict
from tests.claim_tables import ci, floods, grid, idea, ideas, surface


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ratio_low": None}, "precision: too few prompts"),
        ({"lossless": False}, "quality: the arm did not write"),
    ],
)
def test_an_arm_that_ran_is_never_said_not_to_have_run(change, reason):
    result = verdict("003.12", ideas(idea("recycling", "gated", 0.98, 1.0, **change)))
    assert result.verdict == NOT_TESTABLE and result.reason.startswith(reason)


def test_each_meaning_of_sequential_is_a_part():
    tables = floods(ci(20, 30), {"order": "by_candidate", "reference_order": "parallel", "prompt_tokens": 20})
    ident = f"finding/flood/times-faster/{tables['flood'][1]['key']}"
    result = verdict("001.4", tables, {ident: {"value": 86.0, "ci_low": 85.0, "ci_high": 87.0}})
    assert [(part.name, part.verdict) for part in result.parts] == [
        ("root by root", CONTRADICTED), ("candidate by candidate", REPRODUCED)
    ]  # fmt: skip
    assert ident in result.evidence and result.verdict == CONTRADICTED


def test_the_largest_of_several_says_of_how_many():
    rows = [grid(right=True, steps=k, **ci(*ratio)) for k, ratio in enumerate(((41, 50), (9, 10)))]
    [part] = verdict("000.5", {"grid": rows}).parts
    assert {"name": "2"} in part.pieces


def test_both_parts_of_tuning_are_named():
    result = verdict("001.6", surface(8.0, 0.99))
    assert {part.name: part.verdict for part in result.parts} == {
        "expansions per pass": UNDECIDED, "candidates": REPRODUCED
    }  # fmt: skip


def test_a_claim_notes_what_it_compared():
    result = verdict(
        "003.13", ideas(idea("refinement", "selective", 0.9, 1.0), idea("refinement", "full", 0.5, 0.6))
    )
    assert len(result.read) == 2 and all(ident.endswith("/ratio") for ident in result.read)


def test_the_example_of_the_documentation_judges_a_claim_of_ones_own(tmp_path):
    blocks = (Path(__file__).parents[2] / "docs/claims.md").read_text().split("```yaml\n")
    path = tmp_path / "my-claims.yaml"
    path.write_text(blocks[2].partition("```")[0])
    lines = [
        row("cells", cell=task, task=task, arm="lookup", decoder="speculative", **ci(low, low + 0.2))
        for task, low in (("code", 1.5), ("text", 0.9))
    ]
    [result] = judge({"cells": lines}, published({"cells": lines}), [path])["claims"]
    assert result["verdict"] == CONTRADICTED and result["seed"] == "mine"
    assert result["measured"] == "As fast as claimed on code; slower than claimed on text."
    assert [part["verdict"] for part in result["parts"]] == [REPRODUCED, CONTRADICTED]
    both = judge({}, {}, [SHIPPED, path])["claims"]
    assert [claim["id"] for claim in both] == [*BY_ID, "mine.1"]
