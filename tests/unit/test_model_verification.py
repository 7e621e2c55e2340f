"""Before a model of the hub is profiled its authors' results come out again, or its cells stop with one message."""

from __future__ import annotations

import json
import sys

import pytest

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_jsonl
from pardec.data.encoding import encode_prompts
from pardec.data.load import load_tokenizer
from pardec.data.tokenizers import byte_tokenizer
from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import load_arm
from pardec.models.load import save_model
from pardec.models.sources.verification import VerifySettings
from pardec.quality.number import last_number
from pardec.quality.verification import agrees, verify, written
from pardec.study.load import load_study
from pardec.study.plan import Plan
from scripts import verify_model
from tests import claim_rows
from tests.faults import arms
from tests.reference.models import backbone
from tests.tiny_study import STUDY

SAMPLE = {
    "data": "q",
    "decoder": "autoregressive",
    "new_tokens": 4,
    "prompts": 10,
    "score": 0.7,
    "margin": 0.0,
}
QUESTIONS = [{"prompt": f"{k} + 1?", "answer": f"It is <<{k}+1={k + 1}>>.\n#### {k + 1}"} for k in range(10)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small checkpoint in the real format, as one from the hub lies in results/models."""
    folder = tmp_path_factory.mktemp("models") / "theirs"
    save_model(backbone(True, vocab_size=300, max_positions=512), folder)
    byte_tokenizer().save(folder / "tokenizer.json")
    return folder


def plain_text(folder, prompt, new_tokens):
    """What the model writes, by its own decoder alone."""
    model, decoder, _ = load_arm(folder, "autoregressive", {}, "cpu", "float32")
    tokenizer = load_tokenizer(folder / "tokenizer.json")
    tokens = encode_prompts(tokenizer, [{"prompt": prompt}], None)
    decoded = decoder.decode(model, pad_left(tokens, [0], 0), new_tokens)
    return tokenizer.decode(decoded.tokens[0, : int(decoded.useful[0])].tolist())


def run(monkeypatch, folder, checks, out, *more):
    words = [
        "--model",
        folder,
        "--checks",
        json.dumps(checks),
        "--seed",
        1,
        "--device",
        "cpu",
        "--out",
        out,
        *more,
    ]
    monkeypatch.setattr(sys, "argv", ["scripts/verify_model.py", *map(str, words)])
    try:
        verify_model.main()
    except SystemExit as left:
        return left.code
    return 0


def example(expected):
    return {
        "examples": [{"prompt": "a b c ", "decoder": "autoregressive", "new_tokens": 8, "expected": expected}]
    }


def test_the_authors_example_comes_out_again(folder, tmp_path, monkeypatch):
    expected = plain_text(folder, "a b c ", 8)
    out = tmp_path / "verified.json"
    assert run(monkeypatch, folder, example(expected), out) == 0
    body = read_json(out)
    assert body["model"] == "theirs" and body["examples"][0]["text"] == expected
    assert {"model.safetensors", "tokenizer.json"} <= {
        file["path"].rsplit("/")[-1] for file in body["provenance"]["inputs"]
    }


def test_another_output_stops_with_one_message_and_no_file(folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "verified.json"
    assert run(monkeypatch, folder, example("something else"), out) == 2
    err = capsys.readouterr().err
    assert err.count("error:") == 1 and "models.theirs.verify.examples.0" in err and "something else" in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("text", "expected", "right"),
    [
        ("12 * 4 = 48, 6 * 4 = 24, so 48 + 24 = 72 kilometers.", "72", True),
        ("The answer is \\boxed{72}. It took 8 hours.", "72", True),
        ("She runs 172 kilometers.", "72", False),
        ("She runs 72 kilometers in 6 hours, and so 50 in 8.", "72", False),
        ("7.2", "72", False),
        ("A recurrent  network is\na loop.", "network is a loop", True),
        ("networks is a loop", "network is a loop", False),
        ("outgoing", "going", False),
    ],
)
def test_an_example_agrees_by_its_answer_or_in_whole_words(text, expected, right):
    assert agrees(text, expected) is right


def test_a_sample_is_asked_with_its_shots(folder, tmp_path, monkeypatch):
    data = tmp_path / "q"
    rows = [{"id": f"q{k}", "task": "t", **row} for k, row in enumerate(QUESTIONS)]
    write_jsonl(data / "heldout.jsonl", rows)
    write_jsonl(data / "train.jsonl", rows)
    out = tmp_path / "verified.json"
    sample = {**SAMPLE, "score": 0.0, "shots": 1}
    assert run(monkeypatch, folder, {"sample": sample}, out, "--data", data) == 0
    result = read_json(out)["sample"]
    assert result["n"] == 10 and result["low"] <= 0.0 + 1e-9 and len(result["right"]) == 10


@pytest.mark.parametrize(("right", "agrees"), [(7, True), (4, True), (1, False), (10, True)])
def test_a_score_agrees_within_the_samples_interval(right, agrees):
    checks = VerifySettings.model_validate({"sample": SAMPLE})
    texts = [f" so {k + 1} {'apples' if k < right else 'and 99'}" for k in range(10)]

    def ask():
        return verify("m", checks, lambda check, prompts: texts, QUESTIONS)["sample"]

    if agrees:
        assert ask()["score"] == right / 10
    else:
        with pytest.raises(UserError, match=r"models\.m\.verify\.sample.*1 of 10 answers"):
            ask()


def test_too_few_questions_are_no_sample():
    checks = VerifySettings.model_validate({"sample": {**SAMPLE, "shots": 1}})
    with pytest.raises(UserError, match="0 solved ones"):
        verify("m", checks, lambda check, prompts: [], QUESTIONS)


def test_numbers_and_prompts():
    assert last_number("first 3, then 1,234.5 in all.\nQuestion: 7?") == 1234.5
    assert last_number("none") is None and last_number("-4") == -4
    text = written(QUESTIONS[1], QUESTIONS[:1])
    assert text.startswith("Question: 0 + 1?\nAnswer: It is") and text.endswith("Question: 1 + 1?\nAnswer:")


def hub_study(**model):
    theirs = {"source": "hub", "repo": "a/b", "revision": "0" * 40, **model}
    workloads = {"w": {**STUDY["workloads"]["w"], "models": {"ar": "theirs", "diffusion": "m-diffusion"}}}
    return {**STUDY, "models": {**STUDY["models"], "theirs": theirs}, "workloads": workloads}


def test_only_a_hub_model_with_checks_is_verified_and_its_cells_wait(tmp_path):
    checks = example("x")
    plan = Plan(hub_study(verify=checks), [], arms.ROOT)
    assert plan.verified_models == ["theirs"]
    file = "results/models/theirs/verified.json"
    cells = {id: [*plan.cell_models(id), *plan.reference_models(id)] for id in plan.cells}
    assert all(file in inputs for inputs in cells.values()), "the reference is theirs in every cell"
    assert all(file in plan.output_model(id) for id, cell in plan.outputs.items() if cell.model == "theirs")
    assert file not in plan.model_files("theirs") and "verify" not in plan.model_settings("theirs")
    assert Plan(hub_study(), [], arms.ROOT).verified_models == []
    with pytest.raises(UserError, match="verify"):
        local = {**STUDY["models"]["m-ar"], "verify": checks}
        load_study({**STUDY, "models": {**STUDY["models"], "m-ar": local}})


def test_the_claim_reads_it():
    row = claim_rows.row("cells", cell="c", model="theirs", weights_mb=16e3)
    assert claim_rows.verdict("004.9", {"cells": [row]}).verdict == "not run yet"
    assert claim_rows.verdict("004.9", {"cells": [{**row, "verified": True}]}).verdict == "reproduced"
