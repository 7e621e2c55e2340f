"""Paths of cells: readable, safe for shell and Snakemake, one for each cell."""

import copy
import json
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.evidence.tables.base import slug
from pardec.study import paths
from pardec.study.load import load_study
from tests.tiny_study import overlay

SAFE = re.compile(r"[A-Za-z0-9._~+-]+")
NGRAMS = [{"name": "ngram", "longest": 2}, {"name": "ngram", "longest": 3}]


def study(**grid):
    """The tiny study with a drafting arm, its grid changed by `grid`."""
    config = overlay()
    draft = {"model": "ar", "decoder": "speculative", "settings": {"drafter": {"name": "ngram"}}}
    config["arms"]["draft"] = draft
    grids = config["experiments"]["steps"]["grids"]
    grids[0] = {"workloads": ["w"], "arms": ["draft"], "reference": "one", **grid}
    return config


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        (("steps", 64), ["steps~64"]),
        (("threshold", 0.9), ["threshold~0.9"]),
        (("threshold", 1e-05), ["threshold~1e-05"]),
        (("block", None), ["block~none"]),
        (("cache", True), ["cache~true"]),
        (("drafter", NGRAMS[0]), ["drafter.name~ngram", "drafter.longest~2"]),
        (("deep", {"a": {"b": 1}, "c": 2}), ["deep.a.b~1", "deep.c~2"]),
        (("sides", [8, 16]), ["sides~8-16"]),
        (("sides", (8,)), ["sides~8"]),
    ],
)
def test_words_of_settings(setting, expected):
    assert paths.words([setting]) == expected


@pytest.mark.parametrize(
    "value",
    ["a b", "a,b", "a'b", "a/b", "a=b", "a+b", "a~b", "", "ü", "{x}", {}, [], [[1]], [{"a": 1}], ["a-b"],
     "x" * 200],
)  # fmt: skip
def test_a_value_without_a_safe_word_is_refused(value):
    with pytest.raises(ValueError, match="path"):
        paths.words([("key", value)])


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text("ab-_. /,=~+'", max_size=4)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("xyz", min_size=1, max_size=2), inner, max_size=3)
    ),
    max_leaves=4,
)


@given(st.lists(VALUES, min_size=2, max_size=2, unique_by=json.dumps))
def test_words_are_safe_and_their_keys_can_be_read_back(values):
    try:
        named = [paths.join(paths.words([("key", value), ("new", 4)])) for value in values]
    except ValueError:
        return
    assert all(SAFE.fullmatch(name) and slug(name) == name.lower() for name in named)
    assert all(paths.value_of(name, "new") == "4" for name in named)
    assert all(paths.without(name, "new") == name.removesuffix("+new~4") for name in named)


def test_a_swept_strategy_gives_short_words():
    cells = list(load_study(study(sweep={"drafter": NGRAMS}))[1])
    assert [id.rpartition("/")[2] for id in cells] == [
        f"drafter.name~ngram+drafter.longest~{n}+new~16+batch~1" for n in (2, 3)
    ]


def test_two_grids_may_share_a_cell_only_where_they_agree():
    config = study()
    grids = config["experiments"]["steps"]["grids"]
    grids.append(copy.deepcopy(grids[0]))
    assert len(load_study(config)[1]) == 1
    grids[1]["measure"] = {"min_samples": 7}
    with pytest.raises(UserError, match=r"grids\.1.*second time, with other values of measure"):
        load_study(config)


@pytest.mark.parametrize("section", ["data", "models", "arms", "workloads", "experiments"])
def test_names_that_differ_in_case_alone_are_refused(section):
    config = study()
    name = next(name for name, entry in config[section].items() if entry is not None)
    config[section][name.upper()] = config[section][name]
    with pytest.raises(UserError, match=rf"{section}\.{name.upper()}.*differs from '{name}' in case alone"):
        load_study(config)


def test_a_value_that_no_path_takes_is_refused_before_any_job():
    names = {"schedule": "fixed", "seeding": "none", "refinement": "none", "truncation": "none",
             "proposal": "chain", "acceptance": "match"}  # fmt: skip
    sweep = {"drafter": NGRAMS, **{key: [{"name": name}] for key, name in names.items()}}
    with pytest.raises(UserError, match=r"(?s)grids\.0\.sweep.*takes more than 120 characters.*in an arm"):
        load_study(study(sweep=sweep))
