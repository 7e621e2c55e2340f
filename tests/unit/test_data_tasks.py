"""Tasks: the right answer scores 1, wrong ones do not, and the finer scores count what they say."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pardec.data.base import same_items, same_places, words
from pardec.data.registry import TASKS
from pardec.data.tokenizers import task_tokenizer

NAMES = sorted(TASKS)
LETTERS = list("abcdefghijkl")


def task(name, **settings):
    kind = TASKS.load(name)
    return kind(kind.Settings(**settings))


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
def test_the_answer_itself_is_exact_in_every_score(name, seed):
    example = task(name).example(Random(seed))
    scores = task(name).score(example.prompt, example.answer, example.answer)
    assert set(scores.values()) == {1.0} and "exact" in scores


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000), data=st.data())
def test_an_answer_with_one_token_changed_dropped_or_added_is_wrong(name, seed, data):
    chosen = task(name)
    example = chosen.example(Random(seed))
    tokens = words(example.answer)
    place = data.draw(st.integers(0, len(tokens) - 1))
    other = data.draw(st.sampled_from([s for s in chosen.symbols() if s != tokens[place]]))
    changed = [*tokens[:place], other, *tokens[place + 1 :]]
    for wrong in (changed, tokens[:place] + tokens[place + 1 :], [*tokens, other]):
        scores = chosen.score(example.prompt, example.answer, " ".join(wrong))
        assert scores["exact"] == 0.0
        assert all(0 <= value <= 1 for value in scores.values())


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("output", ["", " ", "\n", ",", "no such word", "0,1\n1", "é\x00"])
def test_any_text_can_be_scored(name, output):
    example = task(name).example(Random(1))
    assert task(name).score(example.prompt, example.answer, output)["exact"] == 0.0


@pytest.mark.parametrize("name", NAMES)
@given(seed=st.integers(0, 10_000))
def test_symbols_and_longest_answer_cover_every_example(name, seed):
    chosen = task(name)
    example = chosen.example(Random(seed))
    assert set(words(example.prompt) + words(example.answer)) <= set(chosen.symbols())
    assert len(words(example.answer)) + 1 <= chosen.max_answer_tokens()
    assert example == chosen.example(Random(seed))


def test_string_answers_fit_a_canvas_of_twenty():
    for name in ("copy", "sort", "shuffle", "unshuffle"):
        assert task(name).max_answer_tokens() <= 20


def test_grid_is_csv_of_i_plus_j():
    example = task("grid", min_side=2, max_side=3, min_cells=6, max_cells=6).every()[0]
    assert (example.prompt, example.answer) == ("grid 2 x 3 =", "0,1,2\n1,2,3\n")


def test_grid_lists_every_size_once():
    grid = task("grid")
    prompts = [example.prompt for example in grid.every()]
    assert len(prompts) == len(set(prompts)) == sum(h * w <= 48 for h in range(1, 17) for w in range(1, 17))
    longest = max(len(task_tokenizer(grid.symbols()).encode_answer(e.answer)) for e in grid.every())
    assert longest == grid.max_answer_tokens() <= 100


def test_grid_scores():
    score = task("grid").score
    right = "0,1,2\n1,2,3\n"
    one_wrong = score("", right, "0,1,2\n1,9,3\n")
    assert one_wrong == {"exact": 0.0, "cells": 5 / 6, "rows": 0.5, "parses": 1.0}
    ragged = score("", right, "0,1,2\n1,2\n")
    assert ragged == {"exact": 0.0, "cells": 5 / 6, "rows": 0.5, "parses": 0.0}
    assert score("", right, "0,1,2\n1,2,3")["parses"] == 0.0
    assert score("", right, right + right)["cells"] == 0.5
    assert score("", right, "0,,2\n1,2,3\n")["parses"] == 0.0


def test_unshuffle_follows_the_places():
    assert task("unshuffle").score("unshuffle 2 d 0 a 1 c =", "a c d", "a c d")["exact"] == 1.0
    example = task("unshuffle").example(Random(3))
    pairs = example.prompt.removeprefix("unshuffle ").removesuffix(" =").split(" ")
    ordered = [item for _, item in sorted(zip(map(int, pairs[::2]), pairs[1::2], strict=True))]
    assert " ".join(ordered) == example.answer


@given(st.permutations(LETTERS))
def test_any_order_is_a_right_shuffle(order):
    scores = task("shuffle").score("", " ".join(LETTERS), " ".join(order))
    assert scores == {"exact": 1.0, "items": 1.0}


def test_a_clash_in_a_shuffle_costs_one_item():
    scores = task("shuffle").score("", "a b c d", "b a a d")
    assert scores == {"exact": 0.0, "items": 0.75}


@given(st.integers(0, 10_000))
def test_sort_orders_integers_by_value(seed):
    example = task("sort").example(Random(seed))
    given_items = [int(word) for word in example.prompt.split()[1:-1]]
    assert [int(word) for word in example.answer.split()] == sorted(given_items)


@given(st.integers(0, 10_000))
def test_addition_adds(seed):
    example = task("addition").example(Random(seed))
    a, b = example.prompt.removeprefix("addition ").removesuffix(" =").replace(" ", "").split("+")
    assert int(a) + int(b) == int(example.answer.replace(" ", ""))


def test_addition_of_several_sums_may_restate_them():
    chosen = TASKS.load("addition")
    several = chosen(chosen.Settings(max_digits=2, sums=3, restate=True))
    example = several.example(Random(4))
    asked = example.prompt.removeprefix("addition ").removesuffix(" =").split(" ; ")
    answers = example.answer.split(" ; ")
    assert len(asked) == len(answers) == 3
    for sum_, answer in zip(asked, answers, strict=True):
        stated, result = answer.replace(" ", "").split("=")
        assert stated == sum_.replace(" ", "") and sum(map(int, stated.split("+"))) == int(result)
    assert set(example.prompt.split()) | set(example.answer.split()) <= set(several.symbols())
    longest = max(len(several.example(Random(seed)).answer.split()) for seed in range(50))
    assert longest <= several.max_answer_tokens()


@given(st.integers(0, 10_000))
def test_brackets_close_what_is_open(seed):
    example = task("brackets").example(Random(seed))
    whole = (example.prompt.removeprefix("brackets ").removesuffix("=") + example.answer).replace(" ", "")
    while (shorter := whole.replace("()", "").replace("[]", "").replace("{}", "")) != whole:
        whole = shorter
    assert whole == "" and example.answer


def test_partial_scores():
    assert same_places("abcd", "abxd") == 0.75
    assert same_places("ab", "abcd") == 0.5
    assert same_places("", "") == 1.0
    assert same_items("aab", "aba") == 1.0
    assert same_items("aab", "abbb") == 0.5


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("copy", {"min_items": 9, "max_items": 8}),
        ("copy", {"max_items": 27}),
        ("sort", {"largest": 5}),
        ("unshuffle", {"max_items": 27}),
        ("grid", {"min_side": 5, "max_side": 4}),
        ("grid", {"min_side": 10, "max_cells": 50}),
        ("addition", {"min_digits": 5}),
        ("brackets", {"min_prefix": 20}),
        ("copy", {"typo": 1}),
    ],
)
def test_impossible_settings_are_refused(name, settings):
    with pytest.raises(ValidationError):
        TASKS.load(name).Settings(**settings)
