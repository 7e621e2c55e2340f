"""A checkpoint whose files contradict each other is refused when it is fetched, with file, key, value and fix."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.models.architectures.config import GPT2Config
from pardec.models.architectures.gpt2 import GPT2
from pardec.models.load import save_model
from pardec.models.sources import path
from tests.door import change, fetch, refusal, reweigh
from tests.reference.drafts import draft_model
from tests.reference.models import backbone

QUERY = "model.layers.0.self_attn.q_proj.weight"


def test_a_sound_checkpoint_is_taken(brought, tmp_path):
    assert fetch(brought, tmp_path).info.vocab_size == 300


@pytest.mark.parametrize("none", [-1, None])
@pytest.mark.parametrize("key", ["pad_token_id", "eos_token_id", "bos_token_id", "mask_token_id"])
def test_minus_one_and_null_mean_no_token(brought, tmp_path, key, none):
    change(brought, **{key: none})
    info = fetch(brought, tmp_path).info
    if key == "pad_token_id":
        assert info.pad_id == 0
    else:
        assert getattr(info, key.replace("_token", "")) is None


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("pad_token_id", 300),
        ("pad_token_id", 301),
        ("pad_token_id", -2),
        ("eos_token_id", 999),
        ("eos_token_id", [2, 300]),
        ("mask_token_id", 300),
        ("bos_token_id", "1"),
        ("eos_token_id", 2.0),
        ("eos_token_id", True),
    ],
)
def test_an_id_outside_of_the_vocabulary_is_named(brought, tmp_path, key, value):
    change(brought, **{key: value})
    error = refusal(brought, tmp_path)
    assert error.where.endswith("config.json") and key in error.what and "vocabulary of 300" in error.what


@pytest.mark.parametrize(
    ("key", "value", "output"),
    [
        ("max_position_embeddings", None, "max positions"),
        ("max_position_embeddings", 0, "max positions"),
        ("num_hidden_layers", -1, "layers"),
        ("num_key_value_heads", 3, "do not divide"),
        ("hidden_size", "16", "hidden"),
        ("num_attention_heads", 0, "0 as heads"),
        ("head_dim", 0, "head dim"),
        ("head_dim", 5, "pairs"),
        ("rms_norm_eps", None, "norm_eps"),
        ("is_causal", "yes", "causal"),
        ("rope_parameters", "linear", "rotary positions"),
    ],
)
def test_a_size_that_cannot_be_is_named(brought, tmp_path, key, value, output):
    change(brought, **{key: value})
    error = refusal(brought, tmp_path)
    assert error.where.endswith("config.json") and output in error.what


@pytest.mark.parametrize(
    ("key", "value"), [("eos_token_id", [2, 900]), ("eos_token_id", "2"), ("pad_token_id", 300)]
)
def test_an_id_of_the_generation_config_outside_of_the_vocabulary_is_named(brought, tmp_path, key, value):
    write_json(brought / "generation_config.json", {key: value})
    error = refusal(brought, tmp_path)
    assert error.where.endswith("generation_config.json") and key in error.what and "300" in error.what


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json", "generation_config.json"])
@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_damaged_file_beside_the_weights_is_named_when_it_is_fetched(brought, tmp_path, name, content):
    (brought / name).write_text(content)
    assert name in refusal(brought, tmp_path).where


@pytest.mark.parametrize("suffix", ["qweight", "qzeros", "weight_scale_inv", "SCB"])
def test_quantised_weights_that_no_config_tells_of_are_named(brought, tmp_path, suffix):
    name = QUERY.replace("weight", suffix)
    reweigh(brought, lambda weights: weights.update({name: torch.zeros(2)}))
    error = refusal(brought, tmp_path)
    assert name in error.what and "unquantised" in error.fix


def test_a_family_that_the_architecture_cannot_be(tmp_path):
    config = GPT2Config(vocab_size=300, hidden=16, layers=1, heads=2, mlp=32, max_positions=64)
    torch.manual_seed(0)
    save_model(GPT2(config), tmp_path / "brought")
    error = refusal(tmp_path / "brought", tmp_path, family="masked_diffusion", mask_id=3)
    assert "causal" in error.what and "family" in error.fix
    change(tmp_path / "brought", n_head=3)
    assert "do not divide" in refusal(tmp_path / "brought", tmp_path).what


def test_a_mask_token_of_minus_one_is_none(brought, tmp_path):
    change(brought, mask_token_id=-1)
    assert "no mask_token_id" in refusal(brought, tmp_path, family="masked_diffusion").what


ROTARY = {"rope_theta": 1e4, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
LLAMA3 = {**ROTARY, "rope_type": "llama3", "original_max_position_embeddings": 32}


@pytest.mark.parametrize(
    ("keys", "output"),
    [
        ({"rope_parameters": {"rope_theta": 1e4, "factor": 8.0}}, "names no type of scaling"),
        ({"rope_scaling": {"type": "dynamic", "factor": 2.0}}, "'dynamic'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 4.0}, "rope_parameters": None}, "'yarn'"),
        ({"partial_rotary_factor": 0.5}, "partial_rotary_factor"),
        ({"rope_parameters": {"rope_theta": 1e4, "partial_rotary_factor": 0.25}}, "partial_rotary_factor"),
        ({"rope_parameters": {"full_attention": {"rope_theta": 1e4}}}, "by kind of layer"),
        ({"rope_parameters": {**LLAMA3, "factor": "8"}}, "gives '8' as factor"),
        ({"rope_parameters": {**LLAMA3, "low_freq_factor": 4.0}}, "not below"),
        ({"rope_parameters": None, "rope_theta": float("inf")}, "gives inf as rope_theta"),
        ({"rms_norm_eps": float("nan")}, "gives nan as norm_eps"),
        ({"layer_types": ["full_attention", "sliding_attention"]}, "'sliding_attention'"),
        ({"layer_types": ["linear_attention", "full_attention"]}, "'linear_attention'"),
        ({"max_position_embeddings": 10**30}, "max positions"),
    ],
    ids=str,
)
def test_positions_and_layers_that_would_run_wrongly_are_named(brought, tmp_path, keys, output):
    (brought / "config.json").write_text(json.dumps({**read_json(brought / "config.json"), **keys}))
    error = refusal(brought, tmp_path)
    assert error.where.endswith("config.json") and output in error.what


def test_a_head_that_is_not_the_embedding_it_is_tied_to(tmp_path):
    save_model(backbone(True, vocab_size=300, tied=True), tmp_path / "brought")
    embedding = load_file(tmp_path / "brought" / "model.safetensors")["model.embed_tokens.weight"]
    reweigh(tmp_path / "brought", lambda weights: weights.update({"lm_head.weight": embedding.clone()}))
    assert fetch(tmp_path / "brought", tmp_path).config.tied
    reweigh(tmp_path / "brought", lambda weights: weights.update({"lm_head.weight": embedding + 1}))
    error = refusal(tmp_path / "brought", tmp_path)
    assert "tie_word_embeddings" in error.what and "false" in error.fix


LFS = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def renamed(name):
    return lambda folder: (folder / "model.safetensors").rename(folder / name)


def adapter(folder):
    renamed("adapter_model.safetensors")(folder)
    (folder / "adapter_config.json").write_text('{"peft_type": "LORA"}')


def bare_adapter(folder):
    adapter(folder)
    (folder / "config.json").unlink()


def hub_cache(folder):
    inner = folder / "snapshots" / "abc"
    inner.mkdir(parents=True)
    for file in [each for each in folder.iterdir() if each.is_file()]:
        file.rename(inner / file.name)


def dangling(folder):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors").symlink_to("../../blobs/abc")


def false_format(folder):
    raw = (folder / "model.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + size])
    header["lm_head.weight"]["dtype"] = "BF16"
    text = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])


NO_CHECKPOINT = {
    "weights as a pointer": (lambda folder: (folder / "model.safetensors").write_text(LFS), "git lfs pull"),
    "config as a pointer": (lambda folder: (folder / "config.json").write_text(LFS), "git lfs pull"),
    "tokenizer as a pointer": (lambda folder: (folder / "tokenizer.json").write_text(LFS), "Git LFS"),
    "an adapter": (adapter, "merge_and_unload"),
    "an adapter without config": (bare_adapter, "merge_and_unload"),
    "the root of a hub cache": (hub_cache, "snapshots/abc"),
    "a dangling link": (dangling, "is a link to a file that does not exist"),
    "gguf": (renamed("model.gguf"), "only other weights (model.gguf)"),
    "onnx": (renamed("model.onnx"), "only other weights (model.onnx)"),
    "a header that gives a false format": (false_format, "is not a whole safetensors file"),
    "a template in another encoding": (
        lambda folder: (folder / "chat_template.jinja").write_bytes(b"\xff\xfe{{ x }}"),
        "is not UTF-8",
    ),
    "an end token that is a number": (
        lambda folder: write_json(folder / "tokenizer_config.json", {"eos_token": 2}),
        "contains no tokenizer that can be read",
    ),
}


@pytest.mark.parametrize("how", NO_CHECKPOINT)
def test_what_is_no_checkpoint_is_named_for_what_it_is(brought, tmp_path, how):
    spoil, output = NO_CHECKPOINT[how]
    spoil(brought)
    error = refusal(brought, tmp_path)
    assert output in f"{error.what}; {error.fix}"


@pytest.mark.parametrize("how", ["fp8", "awq", "gptq", "bitsandbytes"])
def test_weights_that_are_quantised_already_are_named_for_what_they_are(brought, tmp_path, how):
    change(brought, quantization_config={"quant_method": how})
    error = refusal(brought, tmp_path)
    assert how in error.what and "unquantised" in error.fix


def test_a_weight_in_eight_bits_is_named(brought, tmp_path):
    reweigh(brought, lambda weights: weights.update({QUERY: weights[QUERY].to(torch.float8_e4m3fn)}))
    error = refusal(brought, tmp_path)
    assert QUERY in error.what and "F8_E4M3" in error.what


@pytest.mark.parametrize(
    ("edit", "output"),
    [
        (lambda weights: weights.pop(QUERY), "lacks 1 weight(s)"),
        (lambda weights: weights.update({"model.layers.0.extra": torch.zeros(3)}), "model.layers.0.extra"),
        (lambda weights: weights.update({QUERY: torch.zeros(8, 16)}), "has shape [8, 16]"),
    ],
)
def test_missing_further_and_misshapen_weights_are_named(brought, tmp_path, edit, output):
    reweigh(brought, edit)
    error = refusal(brought, tmp_path)
    assert error.where.endswith("model.safetensors") and output in error.what


def test_shards_without_their_index(brought, tmp_path):
    weights = load_file(brought / "model.safetensors")
    names = sorted(weights)
    for number, part in enumerate((names[:5], names[5:]), 1):
        save_file(
            {name: weights[name] for name in part}, brought / f"model-0000{number}-of-00002.safetensors"
        )
    (brought / "model.safetensors").unlink()
    error = refusal(brought, tmp_path)
    assert error.where.endswith("model.safetensors.index.json") and "model-00001-of-00002" in error.what


@pytest.mark.parametrize("content", ['{"model_type": "llama", "hidden', "", "[1, 2]"])
def test_a_damaged_config_is_the_users_to_mend(brought, tmp_path, content):
    (brought / "config.json").write_text(content)
    with pytest.raises(UserError) as caught:
        fetch(brought, tmp_path)
    assert caught.value.where == str(brought / "config.json") and "make all" not in caught.value.fix


def test_a_home_folder_is_found(brought, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert path.PathSettings(source="path", path="~/brought").path == str(brought)


@pytest.mark.parametrize(
    ("section", "output"),
    [
        ({"dflash_config": {"mask_token_id": 23}}, "mask_token_id"),
        (
            {"dflash_config": {"mask_token_id": 3, "target_layer_ids": [0, 2]}},
            "layers [0, 2] of a target of 2",
        ),
        ({"dflash_config": {"mask_token_id": 3, "target_layer_ids": [-1]}}, "layers [-1]"),
        ({"draft_vocab_size": 12}, "vocabulary of its own"),
        ({"block_size": 1}, "block_size"),
    ],
    ids=str,
)
def test_a_draft_is_checked_too(tmp_path, section, output):
    save_model(draft_model(), tmp_path / "brought")
    change(tmp_path / "brought", **section)
    assert output in refusal(tmp_path / "brought", tmp_path).what
