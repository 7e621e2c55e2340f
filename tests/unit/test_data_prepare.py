"""Prepared data: the same seed gives the same bytes, and nothing held out is trained on."""

import gzip
import json
import platform
from random import Random

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, sha256
from pardec.data.base import Example, Task
from pardec.data.load import load_tokenizer
from pardec.data.prepare import parse_settings, prepare
from pardec.data.registry import SOURCES, TASKS
from pardec.data.sources import topics
from pardec.data.sources.tasks import distinct
from pardec.data.sources.topics import paragraphs, split_documents
from pardec.data.split import heldout_keys, record
from pardec.study.plan import read_plan
from tests.tiny_study import ROOT

STRINGS = {"source": "tasks", "tasks": {"copy": {}, "sort": {"max_items": 9}}, "train": 60, "heldout": 20}
TEXT = {"source": "topics", "train": 50, "heldout": 16, "vocab_size": 400}


def read(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def text_data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "text"
    return folder, prepare(TEXT, 5, folder)


@pytest.mark.parametrize("settings", [STRINGS, TEXT, {"source": "tasks", "tasks": {"grid": {}}}])
def test_the_seed_decides_every_byte(settings, tmp_path):
    for name in ("one", "two"):
        prepare(settings, 3, tmp_path / name, "same")
    prepare(settings, 4, tmp_path / "three", "same")
    assert read(tmp_path / "one") == read(tmp_path / "two")
    assert read(tmp_path / "one")["heldout.jsonl"] != read(tmp_path / "three")["heldout.jsonl"]
    names = ["about.json", "heldout.jsonl", "tokenizer.json", "train.jsonl"]
    assert list(read(tmp_path / "one")) == names


@pytest.mark.parametrize("name", sorted(TASKS))
def test_no_prompt_is_on_both_sides(name, tmp_path):
    prepare({"tasks": {name: {}}, "train": 300, "heldout": 60}, 11, tmp_path)
    train, heldout = (read_jsonl(tmp_path / f"{side}.jsonl") for side in ("train", "heldout"))
    prompts = [row["prompt"] for row in train + heldout]
    assert len(prompts) == len(set(prompts)) == len({row["id"] for row in train + heldout})
    assert train and heldout and {row["task"] for row in train + heldout} == {name}


def test_every_row_is_right_by_its_own_task_and_can_be_encoded(tmp_path):
    about = prepare(STRINGS, 1, tmp_path)
    tokenizer = load_tokenizer(tmp_path)
    for side in ("train", "heldout"):
        for row in read_jsonl(tmp_path / f"{side}.jsonl"):
            assert (
                TASKS.load(row["task"])().score(row["prompt"], row["answer"], row["answer"])["exact"] == 1.0
            )
            assert tokenizer.decode(tokenizer.encode_prompt(row["prompt"])) == row["prompt"]
            assert len(tokenizer.encode_answer(row["answer"])) <= about["max_answer_tokens"]
    assert about["counts"] == {
        "train": {"all": 120, "copy": 60, "sort": 60},
        "heldout": {"all": 40, "copy": 20, "sort": 20},
    }
    assert about["answers_end"] is True and json.loads((tmp_path / "about.json").read_text()) == about


@given(st.integers(0, 2**31 - 1))
@effort(max_examples=20, deadline=None)
def test_enough_grids_are_held_out_whatever_the_seed(seed):
    prepared = parse_settings({"tasks": {"grid": {}}}).build(seed)
    assert len(prepared.heldout) >= 24 and len(prepared.train) >= 80


def test_a_small_task_is_drawn_until_exhausted():
    addition = TASKS.load("addition")
    few = distinct(addition(addition.Settings(max_digits=1)), 5000, Random(1))
    assert len(few) == 100


@given(st.sets(st.text("ab \né𝄞\0"), max_size=40), st.integers(0, 99), st.integers(0, 50))
def test_heldout_keys_are_a_seeded_subset(keys, seed, count):
    held = heldout_keys(keys, seed, count)
    assert held <= keys and len(held) == min(count, len(keys))
    assert held == heldout_keys(sorted(keys, reverse=True), seed, count)
    assert held <= heldout_keys(keys, seed, count + 1)


def test_record_ids_tell_task_and_prompt_apart():
    ids = {record(task, prompt, None)["id"] for task in ("a", "ab") for prompt in ("b c", "c", "")}
    assert len(ids) == 6


def test_text_windows_keep_their_stated_lengths(text_data):
    folder, about = text_data
    tokenizer = load_tokenizer(folder)
    for side in ("train", "heldout"):
        for row in read_jsonl(folder / f"{side}.jsonl"):
            prompt, answer = tokenizer.encode(row["prompt"]), tokenizer.encode(row["answer"])
            assert 0 < len(prompt) <= 48 and 32 <= len(answer) <= 64
            assert prompt + answer == tokenizer.encode(row["prompt"] + row["answer"])
    assert about["answers_end"] is False
    assert about["text"]["python"] == topics.PYTHON and len(about["text"]["sha256"]) == 64


def test_no_heldout_text_stands_in_the_training_text(text_data):
    folder, _ = text_data
    train = "\n".join(row["prompt"] + row["answer"] for row in read_jsonl(folder / "train.jsonl"))
    for row in read_jsonl(folder / "heldout.jsonl"):
        assert (row["prompt"] + row["answer"])[:200] not in train


def test_split_documents_removes_shared_paragraphs_and_holds_out_at_most_the_share():
    documents = {f"d{i}": f"own paragraph number {i}\n\nshared by all" for i in range(20)}
    train, heldout = split_documents(documents, 1, 0.25)
    assert 1 <= len(heldout) <= 5 and sum("shared by all" in text for text in heldout) == 1
    assert not any("shared" in text for text in train) and len(train) + len(heldout) == 20


def test_paragraphs_join_prose_and_keep_code():
    text = 'The "x" statement\n*****\n\nOne  line\nand more.\n\n   if x:\n       y\n\n\n'
    assert paragraphs(text) == ['The "x" statement', "One line and more.", "   if x:\n       y"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"source": "tsks"}, "did you mean 'tasks'"),
        ({"source": "tasks"}, "tasks"),
        ({"source": "tasks", "tasks": {}}, "names no task"),
        ({"source": "tasks", "tasks": {"copy": {"max_itms": 3}}}, "tasks.copy.max_itms"),
        ({"source": "tasks", "tasks": {"cpoy": {}}}, "tasks.cpoy"),
        ({"source": "tasks", "tasks": {"copy": {}}, "heldout": 0}, "heldout"),
        ({"source": "topics", "prompt_min": 50}, "prompt_min"),
        ({"source": "topics", "prompt_max": "many"}, "prompt_max"),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises(UserError, match=message):
        parse_settings(settings)


def test_too_long_windows_are_refused():
    with pytest.raises(UserError, match="too short"):
        parse_settings({"source": "topics", "prompt_max": 4096, "answer_tokens": 65_536, "train": 5}).build(1)


def test_a_task_with_a_single_prompt_leaves_nothing_to_hold_out(tmp_path):
    settings = {"tasks": {"grid": {"min_side": 2, "max_side": 2}}}
    with pytest.raises(UserError, match="no held-out prompt"):
        prepare(settings, 1, tmp_path)


def test_every_registered_source_declares_its_name():
    for name in SOURCES:
        assert SOURCES.load(name).model_fields["source"].annotation.__args__ == (name,)


def test_the_base_task_cannot_be_used():
    with pytest.raises(TypeError):
        Task()
    assert Example("a", "b") == Example("a", "b")


def test_topics_are_those_of_one_version_whatever_python_runs(monkeypatch, tmp_path):
    """Models of the text are published; with another version's text all of them would be trained anew."""
    if platform.python_version() == topics.PYTHON:
        from pydoc_data.topics import topics as own

        assert list(topics.cpython_topics().items()) == list(own.items())
    plan = read_plan(ROOT, [ROOT / "studies/paper.yaml"])
    for name, model in (("text", "ar-text"), ("roots", "renderer")):
        prepare(plan.study.data[name], plan.seed("data", name), tmp_path / name, name)
        trained_on = read_json(ROOT / f"results/published/weights/{model}.json")["recipe"]["data"]
        assert {file: sha256(tmp_path / name / file) for file in trained_on} == trained_on
    damaged = bytearray(topics.FILE.read_bytes())
    damaged[40] ^= 255  # inside of the compressed text
    monkeypatch.setattr(topics, "FILE", tmp_path / "other.gz")
    for content in (b"", gzip.compress(b"{}"), damaged):
        topics.FILE.write_bytes(content)
        with pytest.raises(UserError, match="git checkout"):
            topics.cpython_topics()
