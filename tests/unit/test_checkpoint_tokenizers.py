"""A tokenizer that does not fit its checkpoint is refused at fetch; one set of ends, whatever file names them."""

from __future__ import annotations

import pytest
from tokenizers import Tokenizer

from pardec.common.files import read_json, write_json
from pardec.data.load import load_tokenizer
from pardec.models.load import load_model, save_model
from tests.door import change, fetch, refusal
from tests.reference.models import backbone


@pytest.mark.parametrize("named", [{"pad_token": "[PAD]"}, {"eos_token": "<nope>"}])
def test_a_special_token_that_the_tokenizer_lacks_is_named_when_it_is_fetched(brought, tmp_path, named):
    write_json(brought / "tokenizer_config.json", {"eos_token": "<eos>", **named})
    assert next(iter(named)) in refusal(brought, tmp_path).where


def test_a_tokenizer_that_draws_is_refused(brought, tmp_path):
    """BPE-dropout, saved after training, splits a text differently each time; transformers leaves it on."""
    body = read_json(brought / "tokenizer.json")
    for value in (None, 0.0):
        body["model"]["dropout"] = value
        write_json(brought / "tokenizer.json", body)
        fetch(brought, tmp_path)
    body["model"]["dropout"] = 0.1
    write_json(brought / "tokenizer.json", body)
    error = refusal(brought, tmp_path)
    assert "dropout of its model to 0.1" in error.what and "null" in error.fix


@pytest.mark.parametrize("config_end", [None, [], 7])
@pytest.mark.parametrize("beside", [{}, {"tokenizer_config.json": {"eos_token": None}}])
def test_a_model_and_its_text_end_alike_whatever_file_names_the_end(brought, tmp_path, config_end, beside):
    change(brought, eos_token_id=config_end)
    for name, body in beside.items():
        write_json(brought / name, body)
    ends = set(fetch(brought, tmp_path).info.ends)
    tokenizer = load_tokenizer(tmp_path / "out")
    assert ends == tokenizer.end_ids == ({7} if config_end else {2})
    assert beside == {} or tokenizer.eos_id in ends


def test_an_end_among_added_tokens_that_are_not_called_special(brought, tmp_path):
    body = read_json(brought / "tokenizer.json")
    for index, name in ((260, "<|im_end|>"), (261, "<|end|>")):
        body["added_tokens"].append({"id": index, "content": name, "special": False, "single_word": False,
                                     "lstrip": False, "rstrip": False, "normalized": False})  # fmt: skip
    write_json(brought / "tokenizer.json", body)
    write_json(brought / "tokenizer_config.json", {"eos_token": "<|end|>"})
    model = fetch(brought, tmp_path)
    assert set(model.info.ends) == {2, 260, 261} == load_tokenizer(tmp_path / "out").end_ids


@pytest.mark.parametrize("ends", [(None, (7,)), (None, (7, 9)), (None, ()), (2, (7,))])
def test_ends_come_back_as_they_were_saved(tmp_path, ends):
    save_model(backbone(True, eos_id=ends[0], stop_ids=ends[1]), tmp_path / "m")
    wanted = {*ends[1], *([] if ends[0] is None else [ends[0]])}
    assert set(load_model(tmp_path / "m").info.ends) == wanted


def test_a_tokenizer_larger_than_the_embedding(brought, tmp_path):
    body = read_json(brought / "tokenizer.json")
    body.setdefault("added_tokens", []).append(
        {
            "id": 300,
            "content": "<more>",
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
            "special": True,
        }
    )
    write_json(brought / "tokenizer.json", body)
    error = refusal(brought, tmp_path)
    assert error.where.endswith("tokenizer.json") and "id 300" in error.what and "300 rows" in error.what


def as_dream(folder, **settings):
    """The folder as Dream comes: a vocabulary and merges, a class of the checkpoint's own code, no tokenizer.json."""
    Tokenizer.from_file(str(folder / "tokenizer.json")).model.save(str(folder))
    (folder / "tokenizer.json").unlink()
    write_json(
        folder / "tokenizer_config.json",
        {
            "tokenizer_class": "DreamTokenizer",
            "auto_map": {"AutoTokenizer": ["tokenization_dream.DreamTokenizer", None]},
            "eos_token": "<eos>",
            "pad_token": "<pad>",
            "unk_token": None,
            **settings,
        },
    )


def test_a_vocabulary_with_merges_is_taken_and_makes_the_tokenizer(brought, tmp_path):
    as_dream(brought)
    fetch(brought, tmp_path)
    assert len(load_tokenizer(tmp_path / "out").encode_prompt("hi")) == 2


def test_a_tokenizer_that_only_the_checkpoints_code_can_make_is_refused(brought, tmp_path):
    as_dream(brought, tokenizer_class="OtherTokenizer")
    error = refusal(brought, tmp_path)
    assert "contains no tokenizer that can be read" in error.what and "tokenizer.json" in error.fix


def test_a_vocabulary_larger_than_the_embedding(brought, tmp_path):
    as_dream(brought, additional_special_tokens=[f"<extra{number}>" for number in range(50)])
    assert "300 rows" in refusal(brought, tmp_path).what
