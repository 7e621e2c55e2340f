"""Which cells are one series, and what kinds of decoding are held against each other."""

import json

import pytest

from pardec.decoding.registry import DECODERS
from pardec.evidence.findings import memory, sequence
from pardec.evidence.tables import crossover
from pardec.evidence.tables.inputs import Inputs
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.tables.series import DIFFUSION, SEQUENTIAL, compares_kinds, names, over_steps
from tests.claim_rows import row


def cell(steps, task="sort", arm="mdm", **more):
    settings = json.dumps(
        {"steps": steps, "remasking": more.pop("remasking", "low_confidence")}, sort_keys=True
    )
    shape = {"batch": 1, "new_tokens": 16, "engine": "eager", "precision": "fp32", "model": "mdm"} | more
    kinds = {"family": DIFFUSION, "reference_family": SEQUENTIAL, "reference_model": "ar"} | more
    return row("steps", cell=f"{task}/{arm}/{steps}/{settings}/{shape}", task=task, arm=arm, steps=steps,
               settings=settings, **(shape | kinds))  # fmt: skip


def test_cells_that_differ_in_steps_alone_are_one_series():
    [(_, rows)] = over_steps([cell(1), cell(4), cell(16)]).items()
    assert [line["steps"] for line in rows] == [1, 4, 16]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"remasking": "random"}, "remasking~random"),
        ({"batch": 8}, "batch~8"),
        ({"new_tokens": 32}, "new~32"),
        ({"engine": "compiled"}, "engine~compiled"),
        ({"model": "other"}, "model~other"),
    ],
)
def test_any_other_difference_is_another_series_and_told_in_its_name(change, word):
    groups = over_steps([cell(1), cell(4), cell(1, **change), cell(4, **change)])
    named = set(names(groups).values())
    assert len(groups) == len(named) == 2 and f"mdm+{word}" in named
    assert set(names(over_steps([cell(1, **change), cell(4, **change)])).values()) == {"mdm"}


def test_the_table_has_one_crossover_for_each_swept_setting():
    lines = [cell(steps, remasking=way) for way in ("random", "low_confidence") for steps in (1, 4)]
    lines = [line | {"record": "r", "record_sha256": "s"} for line in lines]
    rows = crossover.build(Inputs(tables={"steps": _frame(TABLES.load("steps"), lines)}))
    assert {line["series"] for line in rows} == {"mdm+remasking~random", "mdm+remasking~low_confidence"}
    assert all(line["tried"] == 2 for line in rows)


def _frame(table, lines):
    import pandas

    columns = table.dtypes
    return pandas.DataFrame(
        {n: pandas.array([line[n] for line in lines], dtype=d) for n, d in columns.items()}
    )


@pytest.mark.parametrize(
    "kinds", [("jacobi", SEQUENTIAL), ("flood", SEQUENTIAL), (DIFFUSION, DIFFUSION), (None, None)]
)
def test_other_kinds_are_neither_diffusion_nor_its_reference(kinds):
    line = cell(4, family=kinds[0], reference_family=kinds[1])
    assert not compares_kinds(line)
    assert crossover.build(Inputs(tables={"steps": _frame(TABLES.load("steps"), [line])})) == []


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


def test_growth_with_the_sequence_is_fitted_to_one_setting():
    lines = [
        row("length", task="text", arm="mdm", status="ok", batch=1, steps=8, prompt_tokens=16, new_tokens=new,
            settings=way, cache_mb=float(new + 16) * factor)
        for way, factor in (("a", 1.0), ("b", 7.0)) for new in (16, 48, 112)
    ]  # fmt: skip
    [pick] = sequence({"length": lines})
    assert pick.value == pytest.approx(1) and len(pick.keys) == 3
