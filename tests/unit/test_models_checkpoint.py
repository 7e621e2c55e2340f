"""Saving and loading: what is written comes back, and a damaged folder is named, not loaded."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from test_models_backbone import CAUSAL, MASKED, make, tokens

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.models.checkpoints import backbone as names
from pardec.models.load import load_model, save_model

FIRST = "model.layers.0.self_attn.q_proj.weight"


@pytest.fixture
def folder(tmp_path):
    save_model(make(CAUSAL), tmp_path)
    return tmp_path


def refused(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_model(folder)
    return str(caught.value)


def rewrite(folder, change) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors")


@pytest.mark.parametrize(
    "config", [CAUSAL, MASKED, replace(CAUSAL, tied=False), replace(MASKED, shift=True)], ids=range(4)
)
def test_round_trip(tmp_path, config):
    model = make(config)
    save_model(model, tmp_path)
    again = load_model(tmp_path)
    assert again.config == config
    assert again.info == model.info
    x = tokens(2, 12)
    assert torch.equal(model(x, canvas_start=4), again(x, canvas_start=4))
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_saved_names_are_llamas(folder):
    state = load_file(folder / "model.safetensors")
    assert {name: tuple(tensor.shape) for name, tensor in state.items()} == names.shapes(CAUSAL)
    assert {"model.embed_tokens.weight", FIRST, "model.layers.2.mlp.up_proj.weight"} <= set(state)


def test_precision(folder):
    model = load_model(folder, dtype="bfloat16")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}
    exact = load_model(folder)(tokens(1, 9))
    assert (model(tokens(1, 9)).float() - exact).abs().max() < 0.1 * exact.abs().max()
    with pytest.raises(UserError, match="float32"):
        load_model(folder, dtype="float8")


def test_shards_are_read(folder):
    state = load_file(folder / "model.safetensors")
    half = sorted(state)[: len(state) // 2]
    parts = {"a.safetensors": half, "b.safetensors": sorted(set(state) - set(half))}
    for file, members in parts.items():
        save_file({name: state[name] for name in members}, folder / file)
    index = {"weight_map": {name: file for file, members in parts.items() for name in members}}
    write_json(folder / "model.safetensors.index.json", index)
    whole = load_model(folder)(tokens(1, 5))
    (folder / "model.safetensors").unlink()
    assert torch.equal(load_model(folder)(tokens(1, 5)), whole)
    (folder / "b.safetensors").unlink()
    assert "b.safetensors: does not exist" in refused(folder)


def test_missing_folder_and_files(folder):
    assert "is not a folder" in refused(folder / "nowhere")
    (folder / "model.safetensors").unlink()
    assert "model.safetensors: does not exist" in refused(folder)
    (folder / "config.json").unlink()
    assert "config.json: does not exist" in refused(folder)


def test_a_pickle_is_refused_unread(folder):
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"never read")
    message = refused(folder)
    assert "pytorch_model.bin" in message
    assert "pickle" in message


@pytest.mark.parametrize("damage", ["cut", "empty", "noise"])
def test_damaged_weights(folder, damage):
    path = folder / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes({"cut": content[: len(content) // 2], "empty": b"", "noise": b"\xff" * 200}[damage])
    message = refused(folder)
    assert "model.safetensors: is not a whole safetensors file" in message


def test_missing_weight_is_named(folder):
    rewrite(folder, lambda state: state.pop(FIRST))
    assert f"lacks 1 weight(s), first {FIRST!r}" in refused(folder)


def test_renamed_weight_is_named_with_the_nearest(folder):
    other = FIRST.replace("q_proj", "query_proj")
    rewrite(folder, lambda state: state.update({other: state.pop(FIRST)}))
    message = refused(folder)
    assert repr(FIRST) in message
    assert repr(other) in message


def test_unknown_weight_is_named(folder):
    rewrite(folder, lambda state: state.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}))
    message = refused(folder)
    assert "model.layers.0.self_attn.q_proj.bias" in message
    assert "nearest known" in message


def test_wrong_shape_is_named(folder):
    rewrite(folder, lambda state: state.update({FIRST: torch.zeros(16, 32)}))
    message = refused(folder)
    assert f"{FIRST!r} has shape [16, 32], config.json asks for [32, 32]" in message


@pytest.mark.parametrize(
    ("key", "value", "output"),
    [
        ("model_type", "gpt2", "'gpt2' model"),
        ("attention_bias", True, "attention_bias"),
        ("hidden_act", "gelu", "'gelu'"),
        ("rope_parameters", {"rope_type": "llama3", "rope_theta": 1e4}, "'llama3'"),
        ("pardec", {"unknown": 1}, "'pardec' section"),
    ],
)
def test_unsupported_configuration(folder, key, value, output):
    write_json(folder / "config.json", read_json(folder / "config.json") | {key: value})
    message = refused(folder)
    assert "config.json" in message
    assert output in message


def test_configuration_without_a_size(folder):
    config = read_json(folder / "config.json")
    del config["hidden_size"]
    write_json(folder / "config.json", config)
    assert "has no key 'hidden_size'" in refused(folder)
