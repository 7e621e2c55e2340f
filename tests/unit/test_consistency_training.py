"""Consistency training: its states are those of Jacobi decoding, which then needs fewer passes."""

from __future__ import annotations

import json

import pytest
import torch

from pardec.data.load import load_tokenizer
from pardec.decoding.base import Observer
from pardec.decoding.batching import pad_left
from pardec.decoding.jacobi import Jacobi
from pardec.models.load import load_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.batches import Batch
from pardec.models.training.objectives.autoregressive import Autoregressive, AutoregressiveSettings
from pardec.models.training.objectives.consistency import Consistency, ConsistencySettings
from pardec.models.training.train import train_model
from tests.reference.copying import copying
from tests.reference.models import backbone

TEACHER = backbone(causal=True, seed=4, scale=3.0, max_positions=64).double().requires_grad_(False)


def family(**settings) -> Consistency:
    made = Consistency(ConsistencySettings(**settings))
    made.teacher, made.banned = TEACHER, []
    return made


def rows() -> Batch:
    """Greedy outputs of the teacher behind prompts of two lengths, the shorter one padded."""
    prompts, answers = [[1, 5, 9], [1, 7]], []
    for prompt in prompts:
        text = list(prompt)
        for _ in range(10):
            text.append(int(TEACHER(torch.tensor([text]))[0, -1].argmax()))
        answers.append(text[len(prompt) :])
    tokens = torch.tensor([prompts[0] + answers[0], [0, *prompts[1], *answers[1]]])
    return Batch(tokens, torch.tensor([0, 1]), 3, torch.tensor([10, 8]))


def test_states_are_those_of_jacobi_decoding():
    """The same guesses, iterated by hand: one full pass a step, over the window alone."""
    batch = rows()
    tokens = batch.tokens[:1]
    window = torch.zeros_like(tokens, dtype=torch.bool)
    window[:, 5:11] = True
    seen = set()
    for seed in range(12):
        state = family(passes=4)._state(tokens, window, torch.Generator().manual_seed(seed))
        right = family(passes=0)._state(tokens, window, torch.Generator().manual_seed(seed))
        candidates = [right.clone()]
        for _ in range(4):
            after = right.clone()
            for column in range(5, 11):
                after[0, column] = TEACHER(right[:, :column])[0, -1].argmax()
            right = after
            candidates.append(right.clone())
        count = next(k for k, one in enumerate(candidates) if torch.equal(one, state))
        seen.add(count)
        assert torch.equal(state[~window], tokens[~window])
        # Each pass makes at least one more token right.
        assert torch.equal(state[0, 5 : 5 + count], tokens[0, 5 : 5 + count])
    assert len(seen) > 2


def test_the_loss_is_that_of_the_window_and_of_the_output():
    """Without a consistency loss to speak of (no wrong token in the window) both halves are plain cross entropies."""
    batch = rows()
    plain = Autoregressive(AutoregressiveSettings()).loss(TEACHER, batch, torch.Generator())
    made = family(window=16)
    made._first = lambda starts, stops, generator: starts  # the whole output
    made._state = lambda tokens, window, generator: tokens
    torch.testing.assert_close(made.loss(TEACHER, batch, torch.Generator()), 2 * plain)
    made.settings = ConsistencySettings(autoregressive=0.0)
    torch.testing.assert_close(made.loss(TEACHER, batch, torch.Generator()), plain)


def test_tokens_behind_a_rows_end_are_not_learned():
    batch = rows()
    changed = batch.tokens.clone()
    changed[1, 3 + 8 :] = 11
    other = Batch(changed, batch.pad, batch.start, batch.lengths)
    losses = [family().loss(TEACHER, one, torch.Generator().manual_seed(5)) for one in (batch, other)]
    torch.testing.assert_close(losses[0], losses[1])


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A copy task and a model that has learned it a little."""
    folder = tmp_path_factory.mktemp("study")
    recipe = copying(folder, "ar", (6, 8), examples=400, steps=250)
    return folder, {**recipe, "steps": 150, "init": "ar", "teachers": {"target": "ar"}}


def passes(folder, model) -> float:
    tokenizer = load_tokenizer(folder / "data")
    lines = (folder / "data" / "heldout.jsonl").read_text().splitlines()
    decoder, count = Jacobi(Jacobi.Settings(init="random")), 0
    for number, line in enumerate(lines):
        prompt = tokenizer.encode_prompt(json.loads(line)["prompt"])
        batch = pad_left([prompt], [number], model.info.pad_id)
        count += decoder.decode(model, batch, 9, Observer()).nfe
    return count / len(lines)


@pytest.mark.thorough  # trains until it shows
def test_decoding_needs_fewer_passes(study):
    folder, recipe = study
    objective = {"family": "consistency", "window": 9, "sequences": 300, "new_tokens": 9}
    settings = TrainSettings.model_validate({**recipe, "objective": objective})
    where = {"init": folder / "ar", "teachers": {"target": folder / "ar"}}
    train_model("c", settings, folder / "data", 3, folder / "c", **where)
    before, after = (passes(folder, load_model(folder / name)) for name in ("ar", "c"))
    assert after < 0.9 * before
