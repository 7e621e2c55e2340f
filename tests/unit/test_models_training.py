"""Training: what each objective learns from, batches, reproducibility, and what a study may not ask."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from test_models_backbone import CAUSAL, MASKED, make

from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256, write_json, write_jsonl
from pardec.data.prepare import prepare
from pardec.models.architectures.config import PositionConfig
from pardec.models.load import load_model
from pardec.models.registry import FAMILIES, SOURCES
from pardec.models.sources.train import TrainSettings
from pardec.models.training.batches import AnswerRows, Batch, Mixture, TextRows
from pardec.models.training.objectives.autoregressive import Autoregressive, AutoregressiveSettings
from pardec.models.training.objectives.masked_diffusion import (
    MaskedDiffusion,
    MaskedDiffusionSettings,
    choose_masks,
)
from pardec.models.training.settings import OptimiserSettings, SizeSettings
from pardec.models.training.train import train_model

ROOT = Path(__file__).parents[2]
TINY = {"hidden": 16, "layers": 1, "heads": 2, "mlp": 16, "max_positions": 64}
RECIPE = {"source": "train", "data": "tiny", "size": TINY, "steps": 4, "batch": 4}
AR = {**RECIPE, "objective": {"family": "autoregressive"}}
MDM = {
    **RECIPE,
    "objective": {"family": "masked_diffusion", "shift": True},
    "positions": {"prompt": 8, "canvas": 8},
}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    settings = {"tasks": {"copy": {"min_items": 2, "max_items": 4}}, "train": 40, "heldout": 8}
    prepare({"source": "tasks", **settings}, 0, folder)
    return folder


# Batches.


def answers() -> AnswerRows:
    return AnswerRows([[1, 5], [1, 6, 7, 8], [1, 9, 9]], [[5, 2], [6, 7, 8, 2], [9, 9, 2]], 5, 0, 2)


def test_answer_rows_are_padded_left_and_filled_right():
    batch = answers().draw(3, generator())[0]
    rows = {tuple(row) for row in batch.tokens.tolist()}
    assert rows == {(0, 0, 1, 5, 5, 2, 2, 2, 2), (1, 6, 7, 8, 6, 7, 8, 2, 2), (0, 1, 9, 9, 9, 9, 2, 2, 2)}
    assert batch.start == 4
    assert sorted(zip(batch.pad.tolist(), batch.lengths.tolist(), strict=True)) == [(0, 4), (1, 3), (2, 2)]


def test_a_pass_shows_every_row_once():
    rows = AnswerRows([[1, 4 + i] for i in range(7)], [[4 + i, 2] for i in range(7)], 2, 0, 2)
    draws = generator()
    seen = torch.cat([rows.draw(2, draws)[0].tokens[:, 1] for _ in range(7)]).tolist()
    assert sorted(seen[:7]) == sorted(seen[7:]) == list(range(4, 11))


def test_answers_of_like_length_share_a_batch():
    prompts, answers = [[1, 4]] * 200, [[4] * (1 + i % 40) + [2] for i in range(200)]

    def drawn(by_length: bool) -> list[Batch]:
        rows, draws = AnswerRows(prompts, answers, 41, 0, 2, by_length), generator()
        return [rows.draw(16, draws)[0] for _ in range(24)]

    def filled(batches: list[Batch]) -> float:
        return sum(float(b.lengths.float().mean() / b.lengths.max()) for b in batches) / len(batches)

    alike, any_ = drawn(True), drawn(False)
    assert filled(alike) > filled(any_) + 0.2
    # Twelve batches are a pass: no row twice; and what one pass leaves out another shows.
    for first in (0, 12):
        assert len({int(row) for batch in alike[first : first + 12] for row in batch.rows}) == 192
    assert len({int(row) for batch in alike for row in batch.rows}) > 192
    means = [float(batch.lengths.float().mean()) for batch in alike[:12]]
    assert means != sorted(means)
    few = AnswerRows(prompts[:3], answers[:3], 41, 0, 2, by_length=True)
    assert len(few.draw(16, generator())[0].tokens) == 16


def test_columns_of_padding_alone_are_dropped():
    rows = AnswerRows([[1, 5], [1, 6, 7, 8]], [[5, 2], [6, 2]], 2, 0, 2)
    draws = generator()
    widths = {rows.draw(1, draws)[0].tokens.shape[1] for _ in range(8)}
    assert widths == {4, 6}


def test_a_canvas_too_short_is_refused():
    with pytest.raises(ValueError, match="4 tokens, the canvas 3"):
        AnswerRows([[1]], [[5, 6, 7, 2]], 3, 0, 2)


def test_tasks_count_alike_and_keep_their_widths():
    short = AnswerRows([[1, 4]] * 50, [[4, 2]] * 50, 2, 0, 2)
    long = AnswerRows([[1, 5, 5]], [[5, 5, 2]], 3, 0, 2)
    first, second = Mixture([short, long]).draw(9, generator())
    assert first.tokens.tolist() == [[1, 4, 4, 2]] * 4
    assert second.tokens.tolist() == [[1, 5, 5, 5, 5, 2]] * 4


def test_text_rows_are_never_padded():
    rows = TextRows([list(range(10, 10 + length)) for length in (3, 5, 9, 9)])
    draws = generator()
    lengths = set()
    for _ in range(30):
        batch = rows.draw(4, draws)[0]
        assert batch.pad is None
        assert batch.start == 0
        assert (batch.tokens == torch.arange(10, 10 + batch.tokens.shape[1])).all()
        lengths.add(batch.tokens.shape[1])
    assert lengths == {3, 5, 9}


# Objectives.


@pytest.mark.parametrize("size", [1, 2, 7])
def test_exactly_k_tokens_are_masked(size):
    masked, counts = choose_masks(400, size, generator())
    assert torch.equal(masked.sum(1), counts)
    assert set(counts.tolist()) == set(range(1, size + 1))
    shares = masked[counts == 1].float().mean(0)
    assert (shares - 1 / size).abs().max() < 5 * math.sqrt(1 / size / len(masked[counts == 1]))


def test_whole_canvases_can_be_asked_for():
    assert choose_masks(50, 6, generator(), whole=1.0)[0].all()
    share = (choose_masks(2000, 6, generator(), whole=0.5)[1] == 6).float().mean()
    assert abs(share - (0.5 + 0.5 / 6)) < 0.05


def batch_of(rows: AnswerRows) -> Batch:
    return rows.draw(3, generator())[0]


def test_autoregressive_loss_is_the_answers_own():
    """The mean over the answers' tokens, one end-of-sequence token each, computed row by row without any
    padding."""
    model = make(CAUSAL)
    rows = [([1, 5], [5, 2]), ([1, 6, 7, 8], [6, 7, 8, 2]), ([1, 9, 9], [9, 9, 2])]
    total = 0.0
    for prompt, answer in rows:
        logits = model(torch.tensor([prompt + answer]))[0].log_softmax(-1)
        total -= sum(logits[len(prompt) + i - 1, token].item() for i, token in enumerate(answer))
    family = Autoregressive(AutoregressiveSettings())
    assert family.loss(model, batch_of(answers()), generator()).item() == pytest.approx(total / 9, rel=1e-4)


@pytest.mark.parametrize("shift", [False, True])
def test_masked_loss_is_the_mean_at_the_masks(shift):
    from dataclasses import replace

    model = make(replace(MASKED, shift=shift, positions=PositionConfig(12, 16)))
    batch = batch_of(answers())
    family = MaskedDiffusion(MaskedDiffusionSettings(shift=shift))
    masked, counts = choose_masks(3, 5, generator(4))
    total = 0.0
    for row in range(3):
        pad = int(batch.pad[row])
        tokens = batch.tokens[row, pad:].clone()
        start = batch.start - pad
        truth = tokens[start:].clone()
        tokens[start:][masked[row]] = 3
        logits = model(tokens[None], canvas_start=start)[0].log_softmax(-1)
        places = masked[row].nonzero()[:, 0].tolist()
        total -= sum(logits[start + i - shift, truth[i]].item() for i in places) / int(counts[row])
    assert family.loss(model, batch, generator(4)).item() == pytest.approx(total / 3, rel=1e-4)


def test_optimiser_schedule():
    settings = OptimiserSettings(warmup_steps=10, hold_share=0.4)
    rates = [settings.rate(step, 100) for step in range(100)]
    assert rates[:10] == pytest.approx([i / 10 for i in range(1, 11)])
    assert rates[10:40] == [1.0] * 30
    assert rates[40:] == pytest.approx([1 - i / 60 for i in range(60)])


# Whole runs.


def run(tmp_path, name: str, settings: dict, data, seed: int = 1, init=None) -> Path:
    out = tmp_path / name
    train_model(name, TrainSettings.model_validate_json(json.dumps(settings)), data, seed, out, init)
    return out


def test_the_same_seed_gives_the_same_bytes(tmp_path, data):
    first, again = (run(tmp_path, name, MDM, data) for name in ("first", "again"))
    other = run(tmp_path, "other", MDM, data, seed=2)
    assert sha256(first / "model.safetensors") == sha256(again / "model.safetensors")
    assert sha256(first / "model.safetensors") != sha256(other / "model.safetensors")


@pytest.mark.thorough
def test_a_model_learns(tmp_path, data):
    size = {**TINY, "hidden": 32, "heads": 4, "layers": 2, "mlp": 64}
    out = run(tmp_path, "ar", {**AR, "size": size, "steps": 60, "batch": 32}, data)
    curve = read_json(out / "training.json")["loss"]
    assert curve[-1][0] == 60
    assert curve[-1][1] < 0.75 * curve[0][1]


def test_a_run_says_how_it_was_made(tmp_path, data):
    out = run(tmp_path, "ar", AR, data)
    report = read_json(out / "training.json")
    assert report["recipe"]["steps"] == report["steps"] == 4
    assert report["canvas"] == 5
    assert report["parameters"] == load_model(out).info.parameters
    assert report["cpu_s"] > 0
    assert (out / "tokenizer.json").is_file()


def test_a_masked_model_starts_from_an_autoregressive_one(tmp_path, data):
    start = run(tmp_path, "ar", AR, data)
    frozen = {**MDM, "init": "ar", "steps": 1, "optimiser": {"muon_rate": 1e-12, "adam_rate": 1e-12}}
    out = load_model(run(tmp_path, "mdm", frozen, data, init=start))
    assert out.info.attention == "bidirectional"
    assert out.info.shift
    torch.testing.assert_close(out.embedding, load_model(start).embedding)
    larger = {**MDM, "init": "ar", "size": {**TINY, "mlp": 32}}
    with pytest.raises(UserError, match="does not fit"):
        run(tmp_path, "no", larger, data, init=start)


def test_grid_positions_know_the_vocabulary(tmp_path):
    prepare({"source": "tasks", "tasks": {"grid": {"max_side": 3, "max_cells": 9}}}, 0, tmp_path / "data")
    positions = {"prompt": 6, "canvas": 20, "grid": {"rows": 4, "columns": 6}}
    model = load_model(run(tmp_path, "mdm", {**MDM, "positions": positions}, tmp_path / "data"))
    assert model.config.positions.grid.rows == 4
    assert model.config.positions.grid.zero_id == 4


def test_unusable_data_is_named(tmp_path, data):
    with pytest.raises(UserError, match=r"canvas.*is 3, an answer has 5"):
        run(tmp_path, "short", {**AR, "canvas": 3}, data)
    for file in ("about.json", "tokenizer.json"):
        (tmp_path / file).write_bytes((data / file).read_bytes())
    write_jsonl(tmp_path / "train.jsonl", [])
    about = read_json(tmp_path / "about.json")
    about["sha256"]["train.jsonl"] = sha256(tmp_path / "train.jsonl")
    write_json(tmp_path / "about.json", about)
    with pytest.raises(UserError, match="no training example"):
        run(tmp_path, "none", AR, tmp_path)


# Settings and registries.


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"objective": {"family": "masked_difusion"}}, "masked_diffusion"),
        ({"steps": 0}, "greater than or equal to 1"),
        ({"batch": -1}, "greater than or equal to 1"),
        ({"size": {"hidden": 30, "heads": 4}}, "even multiple"),
        ({"size": {"heads": 4, "kv_heads": 3}}, "must divide"),
        ({"positions": {"prompt": 4, "canvas": 4}}, "plain Llama"),
        ({"stepz": 3}, "Extra inputs"),
    ],
)
def test_bad_settings_are_refused(change, message):
    with pytest.raises(ValidationError, match=message):
        TrainSettings.model_validate(AR | change)


def test_registries_hold_what_they_say():
    for name in FAMILIES:
        family = FAMILIES.load(name)
        assert family.Settings().family == name
        teachers = dict.fromkeys(family.taught_by, "other")
        recipe = RECIPE | {"objective": {"family": name}, "teachers": teachers}
        assert TrainSettings.model_validate(recipe).family == name
    for name in SOURCES:
        assert SOURCES.load(name).model_fields["source"].annotation.__args__ == (name,)


def test_settings_load_without_torch():
    code = "import sys, pardec.models.sources.train; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_size_defaults_are_allowed():
    assert SizeSettings().hidden % SizeSettings().heads == 0


def test_script_reports_a_bad_setting():
    command = [
        sys.executable,
        "scripts/train_model.py",
        "--name",
        "m",
        "--seed",
        "1",
        "--out",
        "o",
        "--data",
        "d",
    ]
    done = subprocess.run(
        [*command, "--settings", json.dumps(AR | {"steps": 0})],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "models.m: steps" in done.stderr
