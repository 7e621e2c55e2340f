"""Which prompts are taken, and prompts of an exact length."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.common.files import write_jsonl
from pardec.data.prompts import cut_to, load_prompts, random_tokens
from pardec.data.split import record

ROWS = [record(task, f"prompt {i}", None) for task in ("a", "b") for i in range(10)]


@pytest.fixture
def folder(tmp_path):
    write_jsonl(tmp_path / "heldout.jsonl", ROWS)
    return tmp_path


def test_a_smaller_limit_takes_the_first_of_the_same_prompts(folder):
    everything = load_prompts(folder, None, 3)
    assert sorted(row["id"] for row in everything) == sorted(row["id"] for row in ROWS)
    assert load_prompts(folder, 4, 3) == everything[:4] == load_prompts(folder / "heldout.jsonl", 4, 3)
    assert load_prompts(folder, None, 4) != everything


def test_one_task_only(folder):
    assert {row["task"] for row in load_prompts(folder, None, 1, task="b")} == {"b"}
    with pytest.raises(UserError, match="no prompt of task 'c'"):
        load_prompts(folder, None, 1, task="c")


def test_a_row_that_is_no_record_is_told(tmp_path):
    write_jsonl(tmp_path / "x.jsonl", [ROWS[0], {"id": "1", "task": "a"}])
    with pytest.raises(UserError, match="record 2: lacks prompt, answer"):
        load_prompts(tmp_path / "x.jsonl", 1, 1)
    with pytest.raises(UserError, match="does not exist"):
        load_prompts(tmp_path / "none.jsonl", 1, 1)


@given(
    st.lists(st.integers(), max_size=20), st.lists(st.lists(st.integers(), max_size=9)), st.integers(0, 40)
)
def test_cut_to_is_exact_and_keeps_the_end(tokens, more, n):
    if len(tokens) + sum(map(len, more)) < n:
        with pytest.raises(UserError, match="shorter prompts"):
            cut_to(tokens, n, more)
        return
    cut = cut_to(tokens, n, more)
    kept = min(n, len(tokens))
    assert len(cut) == n and cut[n - kept :] == tokens[len(tokens) - kept :]


def test_cut_to_puts_other_texts_before():
    assert cut_to([7, 8, 9], 2) == [8, 9]
    assert cut_to([7], 4, [[1, 2], [3, 4]]) == [4, 1, 2, 7]


@given(st.integers(0, 50), st.integers(0, 9))
def test_random_tokens_are_seeded_and_never_special(n, seed):
    drawn = random_tokens(n, 20, seed)
    assert drawn == random_tokens(n, 20, seed) and len(drawn) == n
    assert all(4 <= token < 20 for token in drawn)
