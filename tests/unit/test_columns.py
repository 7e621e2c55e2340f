"""What columns declare: kind, unit, direction and label of everything that a table holds."""

import pytest

from pardec.evidence.columns import DIRECTION, KINDS, Column, columns
from pardec.evidence.comparison import lower_is_better
from pardec.evidence.tables.base import Table
from pardec.evidence.tables.inputs import Inputs, Source, read_table, write_table
from pardec.evidence.tables.registry import TABLES, modules
from pardec.quality.registry import METRICS


def every_column():
    for name in TABLES:
        for column, declared in TABLES.load(name).all_columns.items():
            yield f"{name}.{column}", TABLES.load(name), declared


def test_every_column_declares():
    for name, table, column in every_column():
        assert column.kind in KINDS and column.label, name
        assert (column.kind == "text") == (column.dtype == "string"), name
        assert (column.kind == "flag") == (column.dtype == "boolean"), name
        if column.kind == "quality":
            assert column.better is not None, name
        if column.better not in (None, "higher", "lower"):
            assert table.columns[column.better].dtype == "string", f"{name}: no column {column.better}"
        for other in (column.low, column.high, column.count):
            assert other is None or other in table.columns, f"{name} names {other}"


def test_what_is_counted_by_is_a_size():
    for name, table, column in every_column():
        if column.count and column.count not in ("cycles", "reached", "parted"):
            assert table.columns[column.count].kind in ("size", "exact"), name


def test_directions_that_a_kind_decides():
    for name, _, column in every_column():
        if column.kind in ("time", "rate", "memory"):
            wanted = DIRECTION[column.kind]
            assert column.better == ("higher" if name.endswith("largest_batch") else wanted) or (
                name.endswith("started_s")
            ), name


def test_a_number_without_a_kind_is_refused():
    with pytest.raises(ValueError, match="kind"):
        columns("share number | a share of what?")
    with pytest.raises(ValueError, match="direction"):
        columns("score interval kind=quality | a quality")


def test_units_are_the_columns_own():
    flood = TABLES.load("flood").columns
    assert flood["characters_per_s"].unit == "characters/s" and flood["chunks_per_s"].unit == "tokens/s"


def test_direction_may_stand_in_the_row():
    column = TABLES.load("cells").columns["quality"]
    assert column.lower_is_better({"quality_better": "lower"})
    assert not column.lower_is_better({"quality_better": "higher"})
    assert column.lower_is_better({}) is None
    assert TABLES.load("cells").columns["latency_ms"].lower_is_better() is True


def test_direction_of_a_metric_is_what_it_declares():
    for name in METRICS:
        assert lower_is_better(name) == (METRICS.load(name).better == "lower"), name
    assert lower_is_better("invalid") and not lower_is_better("tau") and lower_is_better("bound_gap")


def _frame(table: str, rows: list[dict]):
    described = TABLES.load(table)
    return Table(
        table, "", (), described.key, described.columns, lambda inputs: rows, described.published
    ).make(None)


def test_a_floor_on_a_metric_where_lower_is_better():
    """Metric `invalid` counts tokens that are no roots: fewer is better, whatever its name suggests."""
    cells = [
        {
            "cell": f"steps/{steps}", "experiment": "steps", "task": "plans", "model": "m", "decoder": "d", "arm": "a",
            "status": "ok", "n": 1, "n_all": 1, "steps": steps, "scores": f"{steps}.json",
        }
        for steps in (1, 2)
    ]  # fmt: skip
    scores = {}
    for steps, value in ((1, 3.0), (2, 0.5)):
        metric = {"value": value, "low": None, "high": None, "n": 4, "per_prompt": None}
        path = f"{steps}.json"
        scores[path] = Source(path, "", {"main": "invalid", "metrics": {"invalid": metric}})
    floors = Source(
        "floors.json",
        "",
        {"floors": [{"workload": "plans", "arm": "a", "metric": "invalid", "value": 1.0}]},
    )
    inputs = Inputs(
        scores=scores, floors=floors, tables={"cells": _frame("cells", cells), "draft": _frame("draft", [])}
    )
    (row,) = TABLES.load("models").make(inputs).to_dict("records")
    assert (row["value"], row["steps"], row["better"], row["met"]) == (0.5, 2, "lower", True)


def test_names_that_look_like_numbers_stay_text(tmp_path):
    rows = [
        {
            "cell": "c/001", "experiment": "true", "task": "001", "model": "1e5", "decoder": "d", "status": "ok",
            "n": 1, "n_all": 1,
        }
    ]  # fmt: skip
    write_table(_frame("cells", rows), tmp_path / "cells.csv", tmp_path / "cells.parquet")
    for end in ("csv", "parquet"):
        (row,) = read_table("cells", tmp_path / f"cells.{end}").to_dict("records")
        assert (row["task"], row["experiment"], row["model"]) == ("001", "true", "1e5")


def test_labels_say_what_names_do_not():
    described = TABLES.load("cells").columns
    assert described["latency_ms"].label == "latency" and described["tpot_ms"].label == "TPOT"
    assert isinstance(described["ratio"], Column) and described["ratio"].label == "speed ratio"


def test_tables_that_read_scores_depend_on_what_metrics_declare():
    assert {METRICS.module(name) for name in METRICS} <= set(modules("cells"))
    assert modules("samples") == ["pardec.evidence.tables.raw"]
