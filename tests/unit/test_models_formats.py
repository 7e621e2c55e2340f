"""Published checkpoint formats: names, shards, logits against float64, padding, caches, ends, and refusals."""

from __future__ import annotations

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from pardec.common.errors import UserError
from pardec.common.files import read_json, write_json
from pardec.models.checkpoints.twin import transformers_twin
from pardec.models.load import load_model, save_model
from tests.reference import llada
from tests.reference.checkpoints import LLADA, STRETCH, WORDS, write_llada, write_shards, write_transformers

CAUSAL = {
    "llama": ("llama", {}),
    "llama tied": ("llama", {"tie_word_embeddings": True}),
    "llama 3.1": ("llama", {"rope_parameters": STRETCH}),
    "qwen2": ("qwen2", {}),
    "qwen2 tied": ("qwen2", {"tie_word_embeddings": True}),
    "qwen3": ("qwen3", {}),
    "qwen3 tied": ("qwen3", {"tie_word_embeddings": True}),
    "gpt2": ("gpt2", {}),
    "gpt2 untied": ("gpt2", {"tie_word_embeddings": False}),
}


def rows(count: int, length: int, seed: int = 1) -> torch.Tensor:
    return torch.randint(4, WORDS, (count, length), generator=torch.Generator().manual_seed(seed))


def close(ours: torch.Tensor, theirs: torch.Tensor, tolerance: float = 2e-4) -> None:
    torch.testing.assert_close(ours.double(), theirs.double(), rtol=tolerance, atol=tolerance)


def refused(folder) -> str:
    with pytest.raises(UserError) as caught:
        load_model(folder)
    return str(caught.value)


@pytest.mark.parametrize("name", CAUSAL)
@torch.no_grad()
def test_logits_are_those_of_transformers_in_float64(tmp_path, name):
    kind, changes = CAUSAL[name]
    theirs = write_transformers(tmp_path, kind, **changes)
    assert (tmp_path / "model.safetensors.index.json").is_file()
    ours, x = load_model(tmp_path), rows(2, 40)
    close(ours(x), theirs(x).logits)
    assert ours.info.attention == "causal"
    assert ours.info.parameters == sum(p.numel() for p in theirs.parameters())


@pytest.mark.parametrize("name", CAUSAL)
def test_padding_and_cache_change_no_logits(tmp_path, name):
    kind, changes = CAUSAL[name]
    write_transformers(tmp_path, kind, **changes)
    model, x = load_model(tmp_path), rows(1, 12)[0]
    padded = torch.zeros(2, 12, dtype=torch.long)
    padded[0], padded[1, 5:] = x, x[:7]
    pad = torch.tensor([0, 5])
    alone = [model(x[None]), model(x[None, :7])]
    both = model(padded, pad=pad)
    close(both[:1], alone[0])
    close(both[1:, 5:], alone[1])
    cache = model.new_cache(2, 12)
    parts = [model(part, pad=pad, cache=cache) for part in padded.split([6, 1, 1, 4], 1)]
    close(torch.cat(parts, 1)[0], alone[0][0])
    close(torch.cat(parts, 1)[1, 5:], alone[1][0])


@pytest.mark.parametrize("changes", [{}, {"weight_tying": True}, {"n_kv_heads": 2}], ids=str)
def test_llada_is_its_plain_reading(tmp_path, changes):
    weights, config = write_llada(tmp_path, **changes)
    model, x = load_model(tmp_path), rows(2, 20)
    for row in x:
        close(model(row[None])[0], llada.logits(weights, config, row.tolist()))
    padded = torch.cat([torch.zeros(1, 6, dtype=torch.long), x[:1]], 1)
    close(model(padded, pad=torch.tensor([6]))[:, 6:], model(x[:1]))
    info = model.info
    assert (info.attention, info.mask_id, info.eos_id, info.shift) == ("bidirectional", 3, 2, False)
    assert info.parameters == sum(tensor.numel() for tensor in weights.values())


def test_an_embedding_may_be_wider_than_the_vocabulary(tmp_path):
    write_llada(tmp_path, vocab_size=WORDS - 7)
    assert load_model(tmp_path).info.vocab_size == WORDS


@torch.no_grad()
def test_dream_is_a_qwen2_that_looks_both_ways(tmp_path):
    theirs = write_transformers(tmp_path, "Dream", attn_implementation="eager")
    model, x = load_model(tmp_path), rows(1, 16)
    everything = torch.zeros(1, 1, 16, 16, dtype=torch.double)
    expected = theirs(x, attention_mask=everything).logits
    close(model(x), expected)
    close(model.denoise(x, None, 6, 10), expected[:, 5:9])
    assert (model.info.attention, model.info.mask_id, model.info.shift) == ("bidirectional", 3, True)


def test_old_gpt2_files_have_no_prefix_and_hold_masks(tmp_path):
    write_transformers(tmp_path, "gpt2", shards=False)
    expected = load_model(tmp_path)(rows(1, 9))
    path = tmp_path / "model.safetensors"
    old = {name.removeprefix("transformer."): tensor for name, tensor in load_file(path).items()}
    old |= {"h.0.attn.bias": torch.ones(1, 1, 64, 64), "h.0.attn.masked_bias": torch.tensor(-1e4)}
    old.pop("lm_head.weight", None)
    save_file(old, path)
    assert torch.equal(load_model(tmp_path)(rows(1, 9)), expected)


def test_a_gpt2_saves_itself_as_transformers_would(tmp_path):
    write_transformers(tmp_path / "from", "gpt2")
    model = load_model(tmp_path / "from")
    (tmp_path / "to").mkdir()
    save_model(model, tmp_path / "to")
    from transformers import GPT2LMHeadModel

    theirs = GPT2LMHeadModel.from_pretrained(tmp_path / "to").eval()
    close(theirs(rows(1, 9)).logits.detach(), model(rows(1, 9)))
    assert torch.equal(load_model(tmp_path / "to")(rows(1, 9)), model(rows(1, 9)))


@pytest.mark.parametrize("name", ["llama 3.1", "qwen2", "qwen3"])
def test_any_backbone_is_saved_in_our_own_format(tmp_path, name):
    kind, changes = CAUSAL[name]
    write_transformers(tmp_path / "from", kind, **changes)
    model = load_model(tmp_path / "from")
    (tmp_path / "to").mkdir()
    save_model(model, tmp_path / "to")
    again = load_model(tmp_path / "to")
    assert again.config == model.config
    assert torch.equal(again(rows(1, 9)), model(rows(1, 9)))


@pytest.mark.parametrize("name", ["llama", "llama 3.1", "qwen2 tied", "qwen3"])
@torch.no_grad()
def test_a_model_read_from_a_checkpoint_has_its_twin_in_transformers(tmp_path, name):
    kind, changes = CAUSAL[name]
    write_transformers(tmp_path, kind, **changes)
    model = load_model(tmp_path)
    twin = transformers_twin(model)
    assert type(twin).__name__.lower().startswith(kind)
    close(twin(rows(2, 40)).logits, model(rows(2, 40)))
    with pytest.raises(UserError, match="no form in transformers"):
        write_transformers(tmp_path / "gpt2", "gpt2")
        transformers_twin(load_model(tmp_path / "gpt2"))


def test_weights_in_bfloat16_are_read_as_asked(tmp_path):
    weights, _ = write_llada(tmp_path)
    write_shards(tmp_path, {name: tensor.bfloat16() for name, tensor in weights.items()})
    exact, short = load_model(tmp_path), load_model(tmp_path, dtype="bfloat16")
    assert exact.embedding.dtype == torch.float32 and short.embedding.dtype == torch.bfloat16
    assert torch.equal(exact.embedding, weights["model.transformer.wte.weight"].bfloat16().float())


@pytest.mark.parametrize(
    ("kind", "weight", "other"),
    [
        ("llada", "model.transformer.blocks.1.attn_out.weight", "model.transformer.blocks.1.att_out.weight"),
        ("qwen2", "model.layers.1.self_attn.k_proj.bias", "model.layers.1.self_attn.k_proj.bais"),
        ("qwen3", "model.layers.0.self_attn.q_norm.weight", "model.layers.0.self_attn.query_norm.weight"),
        ("gpt2", "transformer.h.2.mlp.c_fc.bias", "transformer.h.2.mlp.fc.bias"),
    ],
)
@pytest.mark.parametrize("how", ["missing", "renamed", "extra"])
def test_a_wrong_weight_is_named_as_the_file_names_it(tmp_path, kind, weight, other, how):
    if kind == "llada":
        weights, _ = write_llada(tmp_path)
    else:
        write_transformers(tmp_path, kind, shards=False)
        weights = load_file(tmp_path / "model.safetensors")
        (tmp_path / "model.safetensors").unlink()
    assert weight in weights
    if how == "extra":
        weights[other] = weights[weight].clone()
    else:
        taken = weights.pop(weight)
        if how == "renamed":
            weights[other] = taken
    write_shards(tmp_path, weights)
    message = refused(tmp_path)
    if how == "extra":
        assert f"1 unknown weight(s), first {other!r}, nearest known" in message and weight in message
    else:
        assert f"lacks 1 weight(s), first {weight!r}" in message
        assert how == "missing" or f"nearest of the unknown ones is {other!r}" in message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("block_type", "sequential"),
        ("layer_norm_type", "default"),
        ("alibi", True),
        ("rope", False),
        ("input_emb_norm", True),
        ("scale_logits", True),
        ("activation_type", "gelu"),
        ("attention_layer_norm", True),
    ],
)
def test_a_llada_that_this_backbone_would_run_wrongly_is_refused(tmp_path, key, value):
    write_llada(tmp_path)
    write_json(tmp_path / "config.json", {**LLADA, key: value})
    message = refused(tmp_path)
    assert f"sets {key} to {value!r}" in message


@pytest.mark.parametrize(
    ("kind", "changes", "output"),
    [
        ("qwen2", {"use_sliding_window": True}, "use_sliding_window"),
        ("qwen3", {"attention_bias": True}, "attention_bias"),
        ("gpt2", {"activation_function": "relu"}, "activation_function"),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}, "scale_attn_by_inverse_layer_idx"),
        ("llama", {"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4}}, "'yarn'"),
        ("llama", {"rope_parameters": {**STRETCH, "factor": None} | {}}, None),
        ("llama", {"model_type": "lama"}, "nearest 'llama'"),
    ],
)
def test_what_is_not_supported_is_named(tmp_path, kind, changes, output):
    write_transformers(tmp_path, kind)
    path = tmp_path / "config.json"
    if output is None:
        del changes["rope_parameters"]["factor"]
        output = "without 'factor'"
    write_json(path, read_json(path) | changes)
    assert output in refused(tmp_path)


def test_a_key_that_is_missing_is_named(tmp_path):
    write_llada(tmp_path)
    write_json(tmp_path / "config.json", {key: value for key, value in LLADA.items() if key != "d_model"})
    assert "has no key 'd_model'" in refused(tmp_path)


def test_every_token_that_ends_a_text_is_found(tmp_path):
    write_llada(tmp_path)
    assert load_model(tmp_path).info.ends == (2,)
    turn = {"9": {"content": "<|eot_id|>"}, "3": {"content": "<|mdm_mask|>"}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"added_tokens_decoder": turn}))
    (tmp_path / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 7]}))
    assert load_model(tmp_path).info.ends == (2, 7, 9)


def test_no_code_of_a_checkpoint_is_run(tmp_path):
    write_llada(tmp_path, auto_map={"AutoModel": "modeling_llada.LLaDAModelLM"})
    (tmp_path / "modeling_llada.py").write_text("raise SystemExit('run')")
    load_model(tmp_path)
