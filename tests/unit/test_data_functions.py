"""Requests about a library's functions, asked as a chat model is asked, and a draft that learns from its answers."""

from __future__ import annotations

import ast
import json

import pytest

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, sha256
from pardec.data.load import load_tokenizer
from pardec.data.prepare import prepare
from pardec.data.sources.functions import Functions, documented, requests
from pardec.models.load import load_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.train import train_model
from tests import tiny_study
from tests.reference.checkpoints import write_transformers
from tests.reference.gguf import TEMPLATE, plain_tokenizer
from tests.unit.test_packages import wheel

SOURCE = '''
raise SystemExit("run")


def mean_of(values, start=0):
    """Return the mean of the values, and of nothing at all the number zero.

    The values are added to a running sum, one after the other, and the sum is divided at the end by how many values
    there were, so that the caller needs no list.
    """
    running = start
    for value in values:
        running = running + value
    return running / len(values)


def bare(x):
    return x


def described_only():
    """Have no body."""


def _hidden(x):
    """Return x."""
    return x
'''
OTHER = "".join(
    f'def other_{k}(first, step):\n    """Return number {k} behind it."""\n    return first + {k} * step + first\n\n\n'
    for k in range(9)
)
UNUSED = "<|spare|>"


@pytest.fixture(scope="module")
def pinned(tmp_path_factory):
    """Settings of a data set over a small wheel, and the folder of the model that is asked."""
    root = tmp_path_factory.mktemp("library")
    files = {
        "lib/one.py": SOURCE.encode(),
        "lib/two.py": OTHER.encode(),
        "lib/tests/test_one.py": SOURCE.encode(),
    }
    path = wheel(root, files)
    tokenizer = plain_tokenizer()
    tokenizer.add_special_tokens([UNUSED])
    size = {"vocab_size": 288, "intermediate_size": 64, "max_position_embeddings": 512}
    write_transformers(root / "model", "llama", shards=False, **size, eos_token_id=2)
    tokenizer.save(str(root / "model/tokenizer.json"))
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "chat_template": TEMPLATE}
    (root / "model/tokenizer_config.json").write_text(json.dumps(names))
    settings = {"name": "tiny-model", "version": "1.0", "sha256": sha256(path), "wheel": str(path)}
    return {"source": "functions", "model": "m", "mask": UNUSED, "heldout": 2, **settings}, root / "model"


def functions(text=SOURCE):
    return {one.name: one for one in documented("lib/one.py", text)}


def test_public_functions_with_docstring_and_body_are_read_and_nothing_is_run():
    assert set(functions()) == {"mean_of"}
    assert list(documented("lib/tests/test_one.py", SOURCE)) == []


def test_each_kind_of_request_has_its_answer():
    made = {
        kind: (asked, answer)
        for kind, asked, answer in requests(functions()["mean_of"], "a library", random(3))
    }
    assert set(made) == {"complete", "rename", "replace", "explain"}
    header, body = made["complete"]
    ast.parse(header + body)
    assert "running = start" not in header and "running = start" in body

    asked, answer = made["rename"]
    old, new = asked.split("`")[1], asked.split("`")[3]
    before, after = (
        [node.id for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
        for text in (functions()["mean_of"].short, answer)
    )
    assert old in before and new not in before
    assert after == [new if name == old else name for name in before]

    asked, answer = made["replace"]
    old, new = asked.split('"')[1], asked.split('"')[3]
    text = asked.split("\n\n", 1)[1]
    assert answer.split() == [
        word.replace(old, new) if word.strip(",.") == old else word for word in text.split()
    ]
    assert made["explain"][1] == "Return the mean of the values, and of nothing at all the number zero."


def random(seed):
    from random import Random

    return Random(seed)


def test_records_are_whole_conversations_with_the_models_tokenizer_and_a_mask(pinned, tmp_path):
    settings, model = pinned
    about = prepare(settings, 1, tmp_path, "requests", model)
    again = prepare(settings, 1, tmp_path / "again", "requests", model)
    assert again["sha256"] == about["sha256"]
    train, heldout = (read_jsonl(tmp_path / f"{side}.jsonl") for side in ("train", "heldout"))
    assert about["functions"] == {"train": 8, "heldout": 2} and about["answers_end"]
    theirs, named = load_tokenizer(model), load_tokenizer(tmp_path)
    assert named.mask_id == theirs.tokenizer.token_to_id(UNUSED) and theirs.mask_id is None
    assert named.vocab_size == theirs.vocab_size
    for row in [*train, *heldout]:
        assert row["prompt"].startswith("<|im_start|>") and row["prompt"].endswith("<|im_end|>")
        plain = row["prompt"].removeprefix("<|im_start|>").removesuffix("<|im_end|>")
        assert named.encode_prompt(row["prompt"]) == theirs.encode_chat([{"role": "user", "content": plain}])

    def named_in(rows):
        return {
            name for row in rows for name in [f"other_{k}" for k in range(9)] if f"{name}(" in row["prompt"]
        }

    assert named_in(train) and not named_in(train) & named_in(heldout)


def test_what_is_wrong_is_named(pinned, tmp_path):
    settings, model = pinned
    with pytest.raises(UserError, match=r"(?s)no special token '<mask>'.*<\|im_start\|>"):
        prepare({**settings, "mask": "<mask>"}, 1, tmp_path, "requests", model)
    with pytest.raises(UserError, match="--model"):
        prepare(settings, 1, tmp_path, "requests")
    with pytest.raises(UserError, match="most_characters"):
        prepare({**settings, "most_characters": 0}, 1, tmp_path, "requests", model)
    with pytest.raises(UserError, match="no request of at most 5 characters"):
        prepare({**settings, "most_characters": 5}, 1, tmp_path, "requests", model)
    names = read_json(model / "tokenizer_config.json")
    silent = tmp_path / "silent"
    silent.mkdir()
    for file in model.iterdir():
        (silent / file.name).write_bytes(file.read_bytes())
    (silent / "tokenizer_config.json").write_text(json.dumps({**names, "chat_template": None}))
    with pytest.raises(UserError, match="no chat template"):
        prepare(settings, 1, tmp_path, "requests", silent)
    for body, why in ((b"def f(:\n", "cannot be read by Python"), (b"x = '\xff'\n", "not UTF-8")):
        path = wheel(tmp_path, {"lib/one.py": body})
        with pytest.raises(UserError, match=why):
            prepare({**settings, "wheel": str(path), "sha256": sha256(path)}, 1, tmp_path, "requests", model)
    path = wheel(tmp_path, {"lib/one.py": b"x = 1\n"})
    with pytest.raises(UserError, match="no function with a docstring"):
        prepare({**settings, "wheel": str(path), "sha256": sha256(path)}, 1, tmp_path, "requests", model)
    assert Functions(**settings).train == 1200


def test_a_draft_learns_from_the_answers_of_a_foreign_model(pinned, tmp_path):
    settings, model = pinned
    prepare(settings, 1, tmp_path / "data", "requests", model)
    target = load_model(model)
    recipe = TrainSettings(
        source="train",
        data="requests",
        objective={
            "family": "draft",
            "block": 4,
            "new_tokens": 8,
            "sequences": 16,
            "anchors": 2,
            "taps": (0, 2),
        },
        teachers={"target": "m"},
        size={"hidden": target.info.hidden, "layers": 1, "heads": 2, "mlp": 32},
        optimiser={"warmup_steps": 5},
        steps=40,
        batch=8,
    )
    report = train_model(
        "draft", recipe, tmp_path / "data", 5, tmp_path / "draft", teachers={"target": model}
    )
    config = read_json(tmp_path / "draft/config.json")
    assert config["vocab_size"] == target.info.vocab_size
    assert load_tokenizer(tmp_path / "data").mask_id == load_model(tmp_path / "draft").config.mask_id
    assert report["loss"][-1][1] < report["loss"][0][1]
    # What is published has the data set's tokenizer, byte for byte.
    assert sha256(tmp_path / "draft/tokenizer.json") == sha256(tmp_path / "data/tokenizer.json")


def test_a_model_that_is_asked_alone_is_fetched(tmp_path):
    """Its prompts are measured on another model here, so no cell names it."""
    small = {"source": "random", "family": "autoregressive", "vocab_size": 300, "hidden": 32, "layers": 1}
    small |= {"heads": 2, "mlp": 64}
    asked = {
        "source": "functions",
        "name": "n",
        "version": "1",
        "sha256": "0" * 64,
        "model": "m",
        "mask": "<x>",
    }
    study = {
        "name": "s",
        "data": {"requests": asked},
        "models": {"m": small, "other": small},
        "arms": {"ar": {"model": "ar", "decoder": "autoregressive"}},
        "workloads": {
            "w": {"data": "requests", "new_tokens": 8, "models": {"ar": "other"}, "metrics": ["distinct_2"]}
        },
        "experiments": {
            "x": {"question": "?", "grids": [{"workloads": ["w"], "arms": ["ar"], "reference": None}]}
        },
    }
    plan = tiny_study.plan(tiny_study.overlay() | study, tmp_path)
    assert set(plan.models) == {"m", "other"} and plan.asked_files("requests")
    with pytest.raises(UserError, match=r"data.requests.model.*'absent'"):
        study["data"]["requests"] = asked | {"model": "absent"}
        tiny_study.plan(tiny_study.overlay() | study, tmp_path)
