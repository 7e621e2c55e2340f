"""Which cells are one series, and what kinds of decoding are held against each other."""

import pandas
import pytest

from pardec.decoding.registry import DECODERS
from pardec.evidence.findings import memory, sequence
from pardec.evidence.tables.answers import DIFFUSION, SEQUENTIAL
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.registry import TABLES, value_id
from tests.claim_rows import row


def cell(steps, task="sort", arm="mdm", words="new~16+batch~1", **more):
    ident = f"steps/{task}/mdm/{arm}/steps~{steps}+{words}"
    kinds = {"family": DIFFUSION, "reference_family": SEQUENTIAL, "reference_model": "ar"} | more
    return row("steps", cell=ident, experiment="steps", task=task, arm=arm, steps=steps, model="mdm", record="r",
               record_sha256="s", **kinds)  # fmt: skip


def crossovers(*lines):
    described = TABLES.load("steps").dtypes
    frame = pandas.DataFrame(
        {n: pandas.array([line[n] for line in lines], dtype=d) for n, d in described.items()}
    )
    return TABLES.load("crossover").make(Inputs(tables={"steps": frame})).to_dict("records")


def test_cells_that_differ_in_steps_alone_are_one_series():
    [made] = crossovers(cell(1), cell(4), cell(16))
    assert made["tried"] == 3 and made["key"] == "steps/sort/mdm/mdm/new~16+batch~1"


@pytest.mark.parametrize(
    "change",
    [
        {"words": "remasking~random+new~16+batch~1"},
        {"words": "new~16+batch~8"},
        {"arm": "other"},
        {"task": "copy"},
    ],
)
def test_any_other_difference_is_another_series(change):
    made = crossovers(*(cell(steps, **which) for which in ({}, change) for steps in (1, 4)))
    assert len({line["series"] for line in made}) == 2 and all(line["tried"] == 2 for line in made)


def test_numbers_of_the_crossover_keep_the_ids_of_its_cell():
    chosen = {"gate": True, "quality": 0.9, "quality_better": "higher", "latency_ms": 5.0, "ratio": 2.0,
              "ratio_low": 1.8, "ratio_high": 2.2, "n_pairs": 12, "delta": 0.03, "status": "ok"}  # fmt: skip
    [made] = crossovers(cell(4, **chosen))
    mine = "cells/steps/sort/mdm/mdm/steps~4+new~16+batch~1"
    assert made["latency_ms"] == 5.0 and value_id("crossover", made, "latency_ms") == f"{mine}/latency_ms"
    assert value_id("crossover", made, "best_quality") == f"{mine}/quality"
    assert value_id("crossover", made, "steps") == f"crossover/{made['key']}/steps"
    [empty] = crossovers(cell(4))
    empty |= {"cell": None}
    assert value_id("crossover", empty, "latency_ms") == f"crossover/{empty['key']}/latency_ms"


@pytest.mark.parametrize(
    "kinds", [("jacobi", SEQUENTIAL), ("flood", SEQUENTIAL), (DIFFUSION, DIFFUSION), (None, None)]
)
def test_other_kinds_are_neither_diffusion_nor_its_reference(kinds):
    assert crossovers(cell(4, family=kinds[0], reference_family=kinds[1])) == []


def test_a_decoder_is_of_the_compared_kinds_only_where_it_says_so():
    kinds = {name: DECODERS.load(name).family or name for name in DECODERS}
    assert kinds["autoregressive"] == kinds["transformers_generate"] == SEQUENTIAL
    assert kinds["masked_diffusion"] == DIFFUSION
    causal = {name for name in DECODERS if DECODERS.load(name).needs == "causal"}
    assert DIFFUSION not in {kinds[name] for name in causal}
    assert "jacobi" not in kinds or kinds["jacobi"] not in (SEQUENTIAL, DIFFUSION)


def test_memory_compares_diffusion_with_autoregression_whatever_else_was_timed():
    shape = {"task": "text", "batch": 1, "new_tokens": 16, "status": "ok", "working_mb": 1.0}
    lines = [
        row("memory", cell=kind, family=kind, peak_allocated_mb=peak, **shape)
        for kind, peak in (("jacobi", 99.0), (SEQUENTIAL, 10.0), (DIFFUSION, 20.0))
    ]
    picked = {pick.id: pick for pick in memory({"memory": lines})}
    assert picked["finding/memory/ratio"].value == 2
    assert list(memory({"memory": lines[:2]})) == []
    assert list(memory({"memory": [lines[1], lines[2] | {"engine": "compiled"}]})) == [], "of another engine"


def test_growth_with_the_sequence_is_fitted_to_one_setting():
    lines = [
        row("length", task="text", arm="mdm", status="ok", batch=1, steps=8, prompt_tokens=16, new_tokens=new,
            settings=way, cache_mb=float(new + 16) * factor)
        for way, factor in (("a", 1.0), ("b", 7.0)) for new in (16, 48, 112)
    ]  # fmt: skip
    [pick] = sequence({"length": lines})
    assert pick.value == pytest.approx(1) and len(pick.keys) == 3
