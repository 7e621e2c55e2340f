"""Tokenizers restore text exactly, keep their special ids, and say clearly what they cannot load."""

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from pardec.common.errors import UserError
from pardec.data.load import load_tokenizer
from pardec.data.registry import TASKS
from pardec.data.tokenizers import task_tokenizer, train_bpe, word_starts

ALL = task_tokenizer(symbol for name in TASKS for symbol in TASKS.load(name)().symbols())
BPE = train_bpe(["the cat sat on the mat and the dog sat on the log"] * 20, 300)


@pytest.mark.parametrize("name", sorted(TASKS))
@given(seed=st.integers(0, 10_000))
def test_task_text_survives_encoding(name, seed):
    example = TASKS.load(name)().example(Random(seed))
    for text in (example.prompt, example.answer):
        assert ALL.decode(ALL.encode(text)) == text


def test_grid_cells_separators_and_newlines_are_one_token_each():
    assert len(ALL.encode("0,1,12\n1,2,13\n")) == 12
    assert ALL.decode(ALL.encode("0,1\n1,2\n")) == "0,1\n1,2\n"


@given(st.text(max_size=80))
def test_bpe_restores_any_text(text):
    assert BPE.decode(BPE.encode(text)) == text


@given(st.lists(st.text(st.characters(categories=["L", "N", "P"]), min_size=1), min_size=2))
def test_bpe_tokens_do_not_change_where_word_starts_cuts(parts):
    text = " ".join(parts)
    for cut in word_starts(text):
        assert BPE.encode(text[:cut]) + BPE.encode(text[cut:]) == BPE.encode(text)


@pytest.mark.parametrize("tokenizer", [ALL, BPE])
def test_special_ids_are_fixed(tokenizer):
    ids = (tokenizer.pad_id, tokenizer.bos_id, tokenizer.eos_id, tokenizer.mask_id)
    assert ids == (0, 1, 2, 3)
    assert [tokenizer.tokenizer.id_to_token(i) for i in range(4)] == ["<pad>", "<bos>", "<eos>", "<mask>"]


def test_prompts_start_and_answers_end():
    plain = BPE.encode("the cat")
    assert BPE.encode_prompt("the cat") == [1, *plain]
    assert BPE.encode_answer("the cat") == [*plain, 2]
    assert BPE.encode_answer("the cat", end=False) == plain


def test_decoding_stops_at_the_first_end_and_drops_special_tokens():
    assert (
        BPE.decode([1, *BPE.encode("the"), 3, 0, *BPE.encode(" cat"), 2, *BPE.encode(" dog"), 2]) == "the cat"
    )


def test_special_names_in_a_text_are_text():
    ids = BPE.encode("a <mask> b <eos>")
    assert not set(ids) & {0, 1, 2, 3}
    assert BPE.decode(ids) == "a <mask> b <eos>"


def test_an_unknown_word_is_an_error():
    with pytest.raises(UserError, match="cannot encode"):
        task_tokenizer(["a", "b"]).encode("a z")


@pytest.mark.parametrize("tokenizer", [ALL, BPE])
def test_saved_and_loaded_is_the_same(tokenizer, tmp_path):
    tokenizer.save(tmp_path / "tokenizer.json")
    first = (tmp_path / "tokenizer.json").read_bytes()
    for path in (tmp_path, tmp_path / "tokenizer.json"):
        loaded = load_tokenizer(path)
        assert loaded.vocab_size == tokenizer.vocab_size
        text = "copy a b =" if tokenizer is ALL else "the <mask> mat"
        assert loaded.encode_prompt(text) == tokenizer.encode_prompt(text)
        assert loaded.decode(loaded.encode(text)) == text
    tokenizer.save(tmp_path / "tokenizer.json")
    assert (tmp_path / "tokenizer.json").read_bytes() == first


def test_bpe_training_repeats_itself(tmp_path):
    texts = ["some text to learn from, and some more"] * 5
    for name in ("a.json", "b.json"):
        train_bpe(texts, 290).save(tmp_path / name)
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def foreign(folder, specials, **config):
    tokens = ["hello", "world", *specials]
    tokenizer = Tokenizer(models.WordLevel({token: i for i, token in enumerate(tokens)}, unk_token="hello"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    if config:
        (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return load_tokenizer(folder)


def test_a_foreign_tokenizer_is_found_by_usual_names(tmp_path):
    tokenizer = foreign(tmp_path, ["<|startoftext|>", "<|endoftext|>", "<|mdm_mask|>"])
    assert (tokenizer.bos_id, tokenizer.eos_id, tokenizer.mask_id, tokenizer.pad_id) == (None, 3, 4, 3)
    assert tokenizer.encode_prompt("hello world") == [0, 1]


def test_a_foreign_tokenizer_may_lack_all_but_the_end(tmp_path):
    tokenizer = foreign(tmp_path, ["</s>"])
    assert (tokenizer.bos_id, tokenizer.mask_id, tokenizer.pad_id) == (None, None, 2)
    assert tokenizer.encode_prompt("hello") == [0]


def test_the_configuration_beside_it_names_special_tokens(tmp_path):
    config = {"eos_token": {"content": "<stop>"}, "bos_token": None}
    tokenizer = foreign(tmp_path, ["<stop>", "</s>"], **config)
    assert tokenizer.eos_id == 2


def test_a_wrong_name_in_the_configuration_is_told_with_the_nearest(tmp_path):
    with pytest.raises(UserError, match="did you mean '<stop>'"):
        foreign(tmp_path, ["<stop>"], eos_token="<stopp>")


def test_no_end_of_sequence_token_is_an_error(tmp_path):
    with pytest.raises(UserError, match="no end-of-sequence token"):
        foreign(tmp_path, ["<pad>"])


def test_missing_and_damaged_files(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        load_tokenizer(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(UserError, match="is not a tokenizer"):
        load_tokenizer(tmp_path)
