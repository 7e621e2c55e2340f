"""The hierarchy of characters, chunks and roots."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.data.fractal import UNKNOWN, HierarchyTokenizer, learn
from pardec.data.load import load_tokenizer
from pardec.data.tokenizers import PAD

TEXTS = [
    "the cat sat on the mat, and the cat ate the rat.\n" * 20,
    "for i in range(10): print(i)  # numbers\n" * 20,
]
MADE = learn(TEXTS, "roots", 200, 300, 8, 3)


@settings(max_examples=100, deadline=None)
@given(st.text(alphabet=st.sampled_from(MADE.characters), max_size=80))
def test_text_survives_roots(text):
    assert MADE.decode(MADE.encode(text)) == text


def test_sizes_are_bounds_that_are_reached():
    assert max(map(len, MADE.chunks)) == 8
    assert max(map(len, MADE.roots)) == 3


def test_unknown_characters_become_one_mark_each():
    assert MADE.decode(MADE.encode("a日本b")) == f"a{UNKNOWN}{UNKNOWN}b"


def test_characters_level_writes_one_id_a_character():
    by_character = HierarchyTokenizer({**MADE.body, "level": "characters"})
    ids = by_character.encode("the cat")
    assert len(ids) == 7 and by_character.decode(ids) == "the cat"
    assert by_character.vocab_size == MADE.first_root


def test_expansions_spell_the_text_of_their_condition():
    for level, first in ((0, MADE.first_root), (1, MADE.first_chunk)):
        for place, row in enumerate(MADE.expansions(level)):
            assert "".join(MADE.text_of(k) for k in row if k != PAD) == MADE.text_of(first + place)


def test_a_saved_hierarchy_loads_and_encodes_alike(tmp_path):
    MADE.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path)
    assert loaded.encode(TEXTS[0][:60]) == MADE.encode(TEXTS[0][:60])
    assert loaded.expansions(0) == MADE.expansions(0)


def test_an_id_outside_is_told():
    with pytest.raises(UserError, match="has no token"):
        MADE.decode([10**6])
