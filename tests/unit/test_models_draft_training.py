"""What a draft learns from: the target's own outputs and hidden states, and a recipe that fits its target."""

from __future__ import annotations

import json

import pytest
import torch

from pardec.common.errors import UserError
from pardec.data.load import load_tokenizer
from pardec.models.architectures.draft import DraftModel
from pardec.models.load import load_model
from pardec.models.sources.train import TrainSettings
from pardec.models.training.batches import AnswerRows
from pardec.models.training.draft_rows import draft_rows
from pardec.models.training.objectives.draft import Draft, DraftSettings
from pardec.models.training.rollouts import roll_out
from pardec.models.training.tapped import Tapped
from pardec.models.training.train import train_model
from tests.reference.copying import copying
from tests.reference.drafts import Cycles, backbone, plain, speculate

TARGET = backbone(causal=True, layers=5, max_positions=128, scale=3.0).double().requires_grad_(False)
TAPS = (0, 1, 3)


@pytest.mark.parametrize("limit", [0, 1 << 20])
def test_a_kept_reading_of_the_target_is_what_it_says(limit):
    generator = torch.Generator().manual_seed(3)
    sizes = torch.randint(1, 6, (7, 2), generator=generator).tolist()
    prompts, answers = ([[5 + n] * row[side] for n, row in enumerate(sizes)] for side in (0, 1))
    rows = AnswerRows(prompts, answers, 6, 0, 1)
    tapped = Tapped(TARGET, TAPS, limit)
    passes = []
    run = tapped._run
    tapped._run = lambda tokens, pad, start: passes.append(len(tokens)) or run(tokens, pad, start)
    for _ in range(12):
        [batch] = rows.draw(3, generator)
        stop = batch.start + int(batch.lengths.max())
        result = tapped.read(batch, stop)
        _, wanted = TARGET(batch.tokens, pad=batch.pad, canvas_start=batch.start, taps=TAPS)
        pads = [0] * 3 if batch.pad is None else batch.pad.tolist()
        for mine, right, pad, length in zip(result, wanted, pads, batch.lengths.tolist(), strict=True):
            # Without the padding, and to the end of the row's own answer.
            assert torch.allclose(mine[pad : batch.start + length], right[pad : batch.start + length])
        assert result.shape[:2] == (3, stop) and result.isfinite().all()
    # Rows are drawn three at a time and in passes over all seven, so a row may be new twice in one batch.
    assert sum(passes) == 36 if limit == 0 else 7 <= sum(passes) <= 8


def test_a_target_writes_what_plain_decoding_writes():
    prompts = [[1, 5, 9], [1, 7], [1, 4, 4, 8]]
    result = roll_out(TARGET, prompts, 20, torch.Generator())
    right = plain(TARGET, prompts, 20, stop="eos")
    for row, tokens in enumerate(result):
        end = min(20, int(right.useful[row]) + 1)
        assert tokens == right.tokens[row, :end].tolist()
    assert all(2 not in tokens for tokens in roll_out(TARGET, prompts, 20, torch.Generator(), ban_eos=True))
    drawn = [
        roll_out(TARGET, prompts, 20, torch.Generator().manual_seed(seed), temperature=2.0)
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A copy task, a target that has learned it a little, and a recipe of its draft."""
    folder = tmp_path_factory.mktemp("study")
    return folder, recipe_in(folder, examples=300, steps=250)


def recipe_in(folder, examples, steps):
    """A copy task and its target in `folder`; returns a recipe of a draft."""
    recipe = copying(folder, "target", (4, 6), examples, steps)
    return {
        **recipe,
        "size": {**recipe["size"], "layers": 1},
        "objective": {"family": "draft", "block": 4, "new_tokens": 8, "sequences": examples * 2 // 3},
        "teachers": {"target": "target"},
    }


@pytest.mark.thorough
def test_a_draft_learns_from_its_target(study):
    folder, recipe = study
    settings, teachers = TrainSettings.model_validate(recipe), {"target": folder / "target"}
    report = train_model("d", settings, folder / "data", 5, folder / "one", teachers=teachers)
    assert report["loss"][-1][1] < 0.7 * report["loss"][0][1]
    target, draft = load_model(folder / "target"), load_model(folder / "one")
    untrained = DraftModel(draft.config)
    untrained.initialise(torch.Generator().manual_seed(9))
    tokenizer = load_tokenizer(folder / "data")
    lines = (folder / "data" / "heldout.jsonl").read_text().splitlines()
    prompts = [tokenizer.encode_prompt(json.loads(line)["prompt"]) for line in lines]
    logs = Cycles(), Cycles()
    for log, model in zip(logs, (draft, untrained), strict=True):
        for prompt in prompts:
            result = speculate(target, [prompt], 8, model.requires_grad_(False), log, block=4, stop="eos")
            assert torch.equal(result.tokens, plain(target, [prompt], 8, stop="eos").tokens)
    trained, random = (sum(log.taus) / len(log.taus) for log in logs)
    assert trained > 1.3 * random


def test_the_same_seed_gives_the_same_draft(tmp_path):
    recipe = recipe_in(tmp_path, examples=40, steps=3)
    settings, teachers = TrainSettings.model_validate(recipe), {"target": tmp_path / "target"}
    for name in ("one", "two"):
        train_model("d", settings, tmp_path / "data", 5, tmp_path / name, teachers=teachers)
    same = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("one", "two")]
    assert same[0] == same[1]


def test_drawn_outputs_may_be_more_than_prompts(study):
    """300 training prompts: once each where the target is greedy, as often as asked where it draws."""
    folder, _ = study
    target, tokenizer = load_model(folder / "target"), load_tokenizer(folder / "data")
    counts = []
    for temperature in (0.0, 1.0):
        rows, _ = draft_rows(folder / "data", tokenizer, target, None, 400, 8, temperature)
        counts.append(len(rows.parts[0].tokens))
    assert 250 < counts[0] <= 300 and 350 < counts[1] <= 400


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": {"hidden": 48, "layers": 1, "heads": 2, "mlp": 48, "max_positions": 64}}, "hidden"),
        ({"objective": {"family": "draft", "taps": (0, 7)}}, "layers 0 to 1"),
    ],
)
def test_a_recipe_that_does_not_fit_its_target_is_refused(study, tmp_path, change, message):
    folder, recipe = study
    settings = TrainSettings.model_validate({**recipe, **change})
    with pytest.raises(UserError, match=message):
        train_model("d", settings, folder / "data", 5, tmp_path, teachers={"target": folder / "target"})


def test_weights_of_a_block(study):
    """By the paper's decay, and by how likely all tokens before a position are right."""
    chances = torch.tensor([[[0.5, 0.25, 0.8], [1.0, 0.1, 0.0]]], dtype=torch.float64)
    learned = torch.tensor([[[True, True, True], [True, True, False]]])
    losses = -chances[learned].log()
    paper = Draft(DraftSettings(block=4, gamma=2.0))._weights(losses, learned)
    wanted = torch.tensor([0.0, -0.5, -1.0, 0.0, -0.5]).exp()
    torch.testing.assert_close(paper, wanted)
    reached = Draft(DraftSettings(block=4, weights="reached"))._weights(losses, learned)
    torch.testing.assert_close(reached, torch.tensor([1, 0.5, 0.125, 1, 1], dtype=torch.float64))
    folder, recipe = study
    other = {**recipe, "steps": 100, "objective": {**recipe["objective"], "weights": "reached"}}
    teachers = {"target": folder / "target"}
    report = train_model(
        "d", TrainSettings.model_validate(other), folder / "data", 5, folder / "r", teachers=teachers
    )
    assert report["loss"][-1][1] < 0.7 * report["loss"][0][1]
    with pytest.raises(ValueError, match="only with weights decay"):
        DraftSettings(gamma=2.0, weights="reached")


def test_a_draft_needs_a_target(study):
    with pytest.raises(ValueError, match="needs target"):
        TrainSettings.model_validate({**study[1], "teachers": {}})


# transformers' own block drafting.
