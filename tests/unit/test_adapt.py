"""A causal model adapted to block diffusion: its adapter is exact, small, restored, and trained on after a stop."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json, read_jsonl, sha256, write_json
from pardec.data.load import load_tokenizer
from pardec.data.prepare import prepare
from pardec.decoding.autoregressive import Autoregressive
from pardec.decoding.batching import pad_left
from pardec.decoding.block_diffusion import BlockDiffusion
from pardec.models.architectures.backbone import Backbone
from pardec.models.checkpoints.adapter import ADAPTER, load_adapter, merge
from pardec.models.load import load_model
from pardec.models.sources import restored
from pardec.models.sources.adapt import AdaptSettings
from pardec.models.sources.adapted import check_base
from pardec.models.training import adapt
from scripts import adapt_model, train_model
from tests.unit.test_restored import AR

SETTINGS = {
    "source": "adapt",
    "base": "m",
    "data": "d",
    "objective": {"family": "block_diffusion", "blocks": [1, 2, 4], "shift": True, "complementary": True},
    "rank": 4,
    "sequences": 24,
    "new_tokens": 8,
    "steps": 6,
    "batch": 4,
    "rate": 0.02,
    "warmup_steps": 1,
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    prepare(
        {"source": "tasks", "tasks": {"copy": {"min_items": 2, "max_items": 4}}, "train": 40, "heldout": 8},
        0,
        folder,
    )
    return folder


@pytest.fixture(scope="module")
def base(data, tmp_path_factory):
    out = tmp_path_factory.mktemp("models") / "m"
    how = json.dumps({**AR, "steps": 60, "batch": 16})
    words = ["--name", "m", "--settings", how, "--data", str(data), "--seed", "1", "--out", str(out)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["scripts/train_model.py", *words])
        train_model.main()
    return out


def run(data: Path, base: Path, out: Path, *words: object, settings: dict = SETTINGS, seed: int = 3) -> Path:
    command = ["scripts/adapt_model.py", "--name", "a", "--settings", json.dumps(settings), "--data", data]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            sys, "argv", [*map(str, [*command, "--base", base, "--seed", seed, "--out", out, *words])]
        )
        adapt_model.main()
    return out


@pytest.fixture(scope="module")
def adapted(data, base, tmp_path_factory):
    return run(data, base, tmp_path_factory.mktemp("adapted") / "results" / "a")


def prompts(data: Path, count: int = 4):
    tokenizer = load_tokenizer(data)
    rows = [tokenizer.encode_prompt(one["prompt"]) for one in read_jsonl(data / "heldout.jsonl")[:count]]
    return pad_left(rows, None, tokenizer.pad_id)


def test_the_folder_is_an_ordinary_block_diffusion_model(data, adapted):
    model = load_model(adapted)
    assert model.info.attention == "block_causal" and model.info.shift
    assert model.info.mask_id == load_tokenizer(data).mask_id
    for block in (1, 4):
        decoder = BlockDiffusion(BlockDiffusion.Settings(block=block))
        assert decoder.decode(model, prompts(data), 8).tokens.shape == (4, 8)
    paper = read_json(adapted / "provenance.json")
    assert {"model.safetensors", ADAPTER, "tokenizer.json"} <= {
        Path(one["path"]).name for one in paper["outputs"]
    }


def test_it_learns_and_leaves_the_base_alone(base, adapted, data, tmp_path):
    before = sha256(base / "model.safetensors")
    longer = run(data, base, tmp_path / "a", settings={**SETTINGS, "steps": 60})
    curve = [loss for _, loss in read_json(longer / "training.json")["loss"]]
    assert sum(curve[-10:]) < 0.9 * sum(curve[:10])
    assert sha256(base / "model.safetensors") == before


def test_the_merged_weights_are_the_trained_model(data, base):
    """The layers with adapters beside their matrices compute what the written weights do."""
    settings, mask = AdaptSettings.model_validate_json(json.dumps(SETTINGS)), load_tokenizer(data).mask_id
    trained = adapt.adapt(load_model(base), settings, mask, torch.Generator().manual_seed(1))
    with torch.no_grad():
        for parameter in trained.parameters():
            if parameter.requires_grad:
                parameter.copy_(torch.randn(parameter.shape).mul(0.05).bfloat16())
    merged = load_model(base)
    tensors = {name: one.detach().bfloat16() for name, one in adapt.adapter_tensors(trained).items()}
    merge(merged, tensors, mask, True)
    batch = prompts(data)
    for block, share in ((1, 1), (4, 2)):
        decoder = BlockDiffusion(BlockDiffusion.Settings(block=block, share=share))
        mine, theirs = (decoder.decode(one, batch, 8).tokens for one in (trained, merged))
        assert torch.equal(mine, theirs)
    tokens = torch.cat([batch.tokens, torch.full((4, 4), mask)], 1)
    with torch.no_grad():
        mine, theirs = trained(tokens), merged(tokens)
    mine[..., mask] = theirs[..., mask] = 0  # never written; the table is the head, too
    assert torch.allclose(mine, theirs, atol=1e-5)


def test_an_adapter_of_zeros_in_blocks_of_one_is_the_base(data, base):
    settings, mask = AdaptSettings.model_validate_json(json.dumps(SETTINGS)), load_tokenizer(data).mask_id
    fresh = adapt.adapt(load_model(base), settings, mask, torch.Generator().manual_seed(1))
    tensors = {name: one.detach().bfloat16() for name, one in adapt.adapter_tensors(fresh).items()}
    model = load_model(base)
    merge(model, tensors, mask, True)
    plain = Autoregressive(Autoregressive.Settings()).decode(load_model(base), prompts(data), 8)
    blocks = BlockDiffusion(BlockDiffusion.Settings(block=1)).decode(model, prompts(data), 8)
    assert torch.equal(plain.tokens, blocks.tokens)


def test_a_published_adapter_makes_the_same_bytes_again(data, base, adapted, tmp_path, capsys):
    folder = tmp_path / "published"
    path = restored.publish(folder / "weights", adapted, read_json(adapted / "provenance.json"), "somebody")
    assert path.with_suffix(".safetensors").stat().st_size == (adapted / ADAPTER).stat().st_size
    again = run(data, base, tmp_path / "results" / "a", "--published", folder)
    assert "restored from" in capsys.readouterr().out
    for name in (
        "config.json",
        "model.safetensors",
        ADAPTER,
        "tokenizer.json",
        "training.json",
        "source.json",
    ):
        assert sha256(again / name) == sha256(adapted / name), name
    assert read_json(again / "provenance.json")["restored"]["who"] == "somebody"
    other = run(data, base, tmp_path / "other", "--published", folder, seed=4)
    assert "restored" not in read_json(other / "provenance.json")
    weights = path.with_suffix(".safetensors")
    weights.write_bytes(weights.read_bytes()[:-2] + b"\x00\x01")
    with pytest.raises(SystemExit):
        run(data, base, tmp_path / "damaged", "--published", folder)
    assert "a.safetensors is not what a.json describes" in capsys.readouterr().err.replace(
        str(path.parent) + "/", ""
    ).replace(": ", " ")


def test_a_stopped_training_goes_on_with_the_same_result(data, base, adapted, tmp_path, monkeypatch, capsys):
    """Stopped at its fourth step, after a state was saved at its third."""
    monkeypatch.setattr(adapt, "SAVE_S", -1.0)
    kept, steps = tmp_path / "kept", []
    taught = adapt.BlockDiffusion.loss

    def loss(self, model, batch, generator):
        steps.append(batch)
        if len(steps) == 4:
            raise KeyboardInterrupt
        return taught(self, model, batch, generator)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(adapt.BlockDiffusion, "loss", loss)
        run(data, base, tmp_path / "a", "--kept", kept)
    assert [path.name for path in kept.glob("stopped/*/state-*")] == ["state-3.safetensors"]
    (state,) = kept.glob("stopped/*/state-*")
    whole = state.read_bytes()
    state.write_bytes(whole[:-9])
    with pytest.raises(SystemExit):
        run(data, base, tmp_path / "a", "--kept", kept)
    assert f"remove {state.parent}" in capsys.readouterr().err
    state.write_bytes(whole)
    monkeypatch.setattr(adapt, "draft_rows", None)  # the answers are kept, too
    again = run(data, base, tmp_path / "a", "--kept", kept)
    assert sha256(again / ADAPTER) == sha256(adapted / ADAPTER)
    first, second = (read_json(one / "training.json") for one in (adapted, again))
    assert {**first, "cpu_s": 0} == {**second, "cpu_s": 0}
    assert not list(kept.glob("stopped/*"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"quantise": "int8"}, ["models.m.quantise: is int8", "leave it out"]),
        ({"vocab_size": 3}, ["models.a.data: d has token", "base m has 3 tokens"]),
        ("a", ["models.a.data: d has 'a' as token 4", "base m 'other'", "has the tokenizer of m"]),
    ],
)
def test_a_base_of_other_tokens_is_one_message(data, base, tmp_path, capsys, change, words):
    folder = shutil.copytree(base, tmp_path / "m")
    if isinstance(change, dict):
        write_json(folder / "config.json", {**read_json(folder / "config.json"), **change})
    else:
        body = read_json(folder / "tokenizer.json")
        vocabulary = body["model"]["vocab"]
        vocabulary["other"] = vocabulary.pop(change)
        write_json(folder / "tokenizer.json", body)
    with pytest.raises(SystemExit):
        run(data, folder, tmp_path / "a")
    message = capsys.readouterr().err
    assert all(word in message for word in words) and "Traceback" not in message, message


def test_a_mask_of_another_name_is_no_other_vocabulary(data, base, tmp_path):
    folder = shutil.copytree(base, tmp_path / "m")
    text = (folder / "tokenizer.json").read_text()
    (folder / "tokenizer.json").write_text(text.replace("<mask>", "<spare>"))
    assert load_tokenizer(folder).mask_id is None
    check_base("a", AdaptSettings.model_validate_json(json.dumps(SETTINGS)), data, folder)


def test_a_training_that_diverges_is_one_message(data, base, tmp_path, capsys):
    with pytest.raises(SystemExit):
        run(data, base, tmp_path / "a", settings={**SETTINGS, "rate": 1.0, "scale": 1024.0, "steps": 30})
    assert "models.a.rate: is too high: the loss is no number by step" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_what_cannot_be_adapted_is_refused(data, base, tmp_path):
    settings, mask = AdaptSettings.model_validate_json(json.dumps(SETTINGS)), load_tokenizer(data).mask_id
    model = load_model(base)
    model.info = type(model.info)(**{**vars(model.info), "attention": "bidirectional"})
    with pytest.raises(UserError, match="is no causal Llama-style model"):
        adapt.adapt(model, settings, mask, torch.Generator())
    tensors = {
        name: one.detach()
        for name, one in adapt.adapter_tensors(
            adapt.adapt(load_model(base), settings, mask, torch.Generator())
        ).items()
    }
    other = load_model(base)
    assert isinstance(other, Backbone)
    with pytest.raises(UserError, match="another shape"):
        merge(other, {**tensors, "layers.0.out.up": tensors["layers.0.out.up"][:-1]}, mask, True)
    with pytest.raises(UserError, match="another shape"):
        merge(other, {name: one for name, one in tensors.items() if name != "mask"}, mask, True)
    with pytest.raises(UserError, match="does not exist"):
        load_adapter(tmp_path / ADAPTER)
