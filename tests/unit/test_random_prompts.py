"""Random prompts: right in length, without meaning, and never in the reference."""

import json
from pathlib import Path

import pytest

from pardec.data.encoding import encode_prompts
from pardec.data.prompts import random_tokens
from pardec.data.tokenizers import BOS
from pardec.evidence.record import record
from pardec.evidence.tables.cells import writes
from pardec.measure.job import read_job
from pardec.study.layers import read_study
from pardec.study.load import load_study
from pardec.study.plan import read_plan
from tests import factories
from tests.faults.arms import cell_job

ROOT = Path(__file__).parents[2]


class Tokenizer:
    """Letters to ids from 4 on; id 6 is special."""

    vocab_size, start_ids, special_ids = 30, [BOS], frozenset({6})

    def encode(self, text):
        return [7 + ord(letter) - ord("a") for letter in text]

    def encode_prompt(self, text):
        return [BOS, *self.encode(text)]


PROMPTS = [{"id": name, "prompt": name * 5, "answer": name} for name in "abc"]


@pytest.mark.parametrize("length", [None, 8])
def test_lengths_and_start_stay(length):
    real = encode_prompts(Tokenizer(), PROMPTS, length)
    drawn = encode_prompts(Tokenizer(), PROMPTS, length, 1)
    assert [len(tokens) for tokens in real] == [len(tokens) for tokens in drawn]
    assert real != drawn and all(tokens[0] == BOS for tokens in drawn)
    assert all(token >= 4 and token != 6 for tokens in drawn for token in tokens[1:])


def test_tokens_depend_on_seed_and_id_alone():
    drawn = encode_prompts(Tokenizer(), PROMPTS, None, 1)
    assert encode_prompts(Tokenizer(), PROMPTS[::-1], None, 1) == drawn[::-1]
    assert encode_prompts(Tokenizer(), PROMPTS, None, 2) != drawn


def test_avoided_tokens_never_come():
    assert set(random_tokens(500, 8, 3, avoid=frozenset({5}))) == {4, 6, 7}


@pytest.fixture(scope="module")
def cells():
    _, cells = load_study(read_study(ROOT)[0])
    return [cell for cell in cells.values() if cell.experiment == "prompts"]


def test_a_cell_of_random_prompts_is_paired_with_itself_on_real_ones(cells):
    drawn = [cell for cell in cells if cell.random_prompts]
    assert drawn and len(drawn) * 2 == len(cells)
    for cell in cells:
        reference = cell.reference
        assert not reference.random_prompts
        assert (reference.arm, reference.settings, reference.swept) == (cell.arm, cell.settings, cell.swept)
        assert (reference.output_id == cell.output_id) is not cell.random_prompts


def test_only_such_a_cell_is_told_to_draw():
    plan = read_plan(ROOT)
    for name, cell in plan.cells.items():
        assert (plan.cell_job(name).get("prompt_text") == "random") is cell.random_prompts
        if cell.output_id in plan.outputs:
            assert ("random" in plan.workload_words(plan.outputs[cell.output_id])) is cell.random_prompts


def test_the_record_tells_the_sides_apart():
    job = read_job(json.dumps(cell_job("m", "d", prompt_text="random", reference={
        "model": "m", "arm": "ar", "decoder": "autoregressive"})))  # fmt: skip
    made = record(job, {"device": {"name": "cpu"}}, "fresh")
    assert made["cell"]["random_prompts"] is True and made["reference"]["cell"]["random_prompts"] is False
    assert writes(made["cell"]) != writes(made["reference"]["cell"])


def test_an_older_record_had_real_prompts():
    cell = factories.cell("steps", "grid", None)
    assert writes(cell) == writes({**cell, "random_prompts": False})
