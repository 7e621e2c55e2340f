"""Large tables: a cell and its separator as one token, sizes held out by name, prompts that fill a canvas."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pardec.common.errors import UserError
from pardec.common.files import read_jsonl
from pardec.data.load import load_tokenizer
from pardec.data.prepare import prepare
from pardec.data.prompts import load_prompts
from pardec.data.tasks.grid import Grid, GridSettings
from pardec.data.tokenizers import task_tokenizer

JOINED = {"max_side": 9, "max_cells": 64, "separators": "joined"}
HELD = [[8, 8], [7, 9], [4, 4]]
DATA = {"source": "tasks", "tasks": {"grid": {**JOINED, "held_out": HELD}}, "heldout": 5}


def grid(**settings) -> Grid:
    return Grid(GridSettings.model_validate(settings))


def test_a_cell_and_its_separator_are_one_token():
    task = grid(**JOINED)
    tokenizer = task_tokenizer(task.symbols())
    for example in task.every():
        height, _, width = example.prompt.split()[1:4]
        tokens = tokenizer.encode(example.answer)
        assert len(tokens) == int(height) * int(width)
        assert tokenizer.decode(tokenizer.encode_answer(example.answer)) == example.answer
        assert len(tokenizer.encode(example.prompt)) == 5
    longest = max(len(tokenizer.encode_answer(example.answer)) for example in task.every())
    assert longest == task.max_answer_tokens() == 65


def test_text_and_scores_do_not_depend_on_the_tokens():
    ours, joined = grid(max_side=4), grid(max_side=4, separators="joined")
    assert ours.every() == joined.every()
    example = joined.every()[5]
    assert joined.score(example.prompt, example.answer, example.answer) == {
        "exact": 1.0,
        "cells": 1.0,
        "rows": 1.0,
        "parses": 1.0,
    }


def test_numbers_stand_in_order_whatever_the_separators():
    """Row and column positions read a size from the prompt as a token less the token of zero."""
    tokenizer = task_tokenizer(grid(**JOINED).symbols())
    first = tokenizer.encode("0")[0]
    assert [tokenizer.encode(str(number))[0] - first for number in range(10)] == list(range(10))


@pytest.mark.parametrize("seed", range(4))
def test_named_sizes_are_held_out_and_never_trained_on(tmp_path, seed):
    prepare(DATA, seed, tmp_path)
    held = [row["prompt"] for row in read_jsonl(tmp_path / "heldout.jsonl")]
    train = {row["prompt"] for row in read_jsonl(tmp_path / "train.jsonl")}
    assert len(held) == len(set(held)) == 5
    assert {f"grid {h} x {w} =" for h, w in HELD} <= set(held)
    assert not train & set(held)


def test_no_other_size_is_held_out_where_no_more_are_asked_for(tmp_path):
    prepare({**DATA, "heldout": 3}, 1, tmp_path)
    assert len(read_jsonl(tmp_path / "heldout.jsonl")) == 3


def test_a_size_outside_the_bounds_cannot_be_held_out():
    with pytest.raises(ValidationError, match="9 x 9 is outside"):
        GridSettings.model_validate({**JOINED, "held_out": [[9, 9]]})
    with pytest.raises(ValidationError):
        GridSettings.model_validate({**JOINED, "held_out": [[9]]})


def test_prompts_that_fill_a_canvas(tmp_path):
    prepare({**DATA, "heldout": 20}, 0, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    rows = load_prompts(tmp_path, None, 7, "grid", canvas=64, fill=0.9)
    assert {"grid 8 x 8 =", "grid 7 x 9 ="} <= {row["prompt"] for row in rows}
    assert all(58 <= len(tokenizer.encode(row["answer"])) == row["answer_tokens"] <= 64 for row in rows)
    whole = {row["prompt"] for row in load_prompts(tmp_path, None, 7, "grid", canvas=63, fill=1.0)}
    assert "grid 7 x 9 =" in whole <= {"grid 7 x 9 =", "grid 9 x 7 ="}
    assert len(load_prompts(tmp_path, None, 7, "grid", canvas=64)) == 20
    with pytest.raises(UserError, match="from 90 to 100 tokens"):
        load_prompts(tmp_path, None, 7, "grid", canvas=100, fill=0.9)


def test_records_without_lengths_cannot_fill(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"id": "a", "task": "t", "prompt": "p", "answer": "q"}\n')
    assert load_prompts(file, None, 0)
    with pytest.raises(UserError, match="how many tokens"):
        load_prompts(file, None, 0, canvas=8, fill=0.5)
