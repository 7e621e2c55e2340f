"""Published shapes by name: the models' own parameter counts, and random weights without any download."""

from __future__ import annotations

import pytest
import torch
from pydantic import ValidationError

from pardec.common.files import read_json
from pardec.data.load import load_tokenizer
from pardec.models.checkpoints.configs import modules_of, read_config
from pardec.models.checkpoints.shapes import SHAPES, shape
from pardec.models.load import load_model
from pardec.models.registry import ARCHITECTURES
from pardec.models.sources.random import RandomSettings, fetch

PUBLISHED = {
    "llada-8b": 8_015_581_184,
    "dream-7b": 7_615_616_512,
    "llama-3-8b": 8_030_261_248,
    "llama-3.1-8b": 8_030_261_248,
    "smollm2-135m": 134_515_008,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-7b": 7_615_616_512,
    "qwen3-0.6b": 596_049_920,
    "qwen3-8b": 8_190_735_360,
    "fast-dllm-v2-7b": 7_615_616_512,
    "sdar-8b": 8_190_735_360,
    "qwen3-8b-dflash": 1_048_626_432,
    "gpt2": 124_439_808,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
}
"""As the weights on the hub add up."""


def built(name: str):
    values = shape(name, max_positions=None if name.startswith("gpt2") else 64)
    kind = ARCHITECTURES.load(values["architectures"][0])
    config = read_config(values, name)
    with torch.device("meta"):
        return kind.model(config)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_shape_has_the_parameters_of_the_published_model(name):
    assert built(name).info.parameters == PUBLISHED[name]


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_can_be_built(name):
    info = built(name).info
    masked = name in ("llada-8b", "dream-7b", "qwen3-8b-dflash")
    blocks = name in ("fast-dllm-v2-7b", "sdar-8b")
    assert info.attention == ("block_causal" if blocks else "bidirectional" if masked else "causal")
    assert (info.mask_id is not None) == (masked or blocks) and info.eos_id < info.vocab_size


def test_keys_and_values_of_a_token_as_the_papers_have_them():
    """512 KiB for LLaDA's many heads, 128 KiB for Llama 3's groups, in 16 bits."""

    def kib(name):
        info = built(name).info
        return 2 * 2 * info.layers * info.kv_heads * info.head_dim / 1024

    assert (kib("llada-8b"), kib("llama-3-8b")) == (512, 128)


@pytest.mark.parametrize("name", ["llada-8b", "llama-3.1-8b", "qwen3-0.6b", "gpt2"])
def test_a_random_model_of_a_shape_runs(tmp_path, monkeypatch, name):
    """One layer of it, narrow, since a whole one would need minutes and gigabytes."""
    small = {"vocab_size": 64, "embedding_size": 64} if name == "llada-8b" else {"vocab_size": 64}
    small |= {"d_model": 64, "mlp_hidden_size": 96} if name == "llada-8b" else {"n_embd": 48}
    small |= {"hidden_size": 64, "intermediate_size": 96, "mask_token_id": 3, "eos_token_id": 2}
    small |= {"bos_token_id": 1, "pad_token_id": 0}
    monkeypatch.setitem(SHAPES, name, SHAPES[name] | small)
    settings = RandomSettings(source="random", shape=name, layers=1, max_positions=32)
    source = fetch(settings, tmp_path / "m", 5)
    assert sorted(source["files"]) == ["config.json"]  # too small a vocabulary for bytes
    assert read_json(tmp_path / "m" / "config.json")["weights"] == "random"
    model, again = load_model(tmp_path / "m"), load_model(tmp_path / "m")
    logits = model(torch.tensor([[1, 5, 3, 3]]))
    assert torch.equal(logits, again(torch.tensor([[1, 5, 3, 3]]))) and bool(logits.isfinite().all())
    assert model.info.layers == 1 and model.info.max_positions == 32


def test_what_stands_beside_a_shape():
    for more, message in (
        ({"shape": "llama3-8b"}, "did you mean 'llama-3-8b'"),
        ({"shape": "llada-8b", "heads": 8}, "heads is part of shape"),
        ({}, "needs family, vocab_size, hidden, layers, heads, mlp, or the shape"),
    ):
        with pytest.raises(ValidationError, match=message):
            RandomSettings(source="random", **more)


def test_a_model_depends_on_its_class_and_its_format(tmp_path):
    fetch(RandomSettings(source="random", shape="llada-8b"), tmp_path / "a", 0)
    fetch(RandomSettings(source="random", shape="gpt2"), tmp_path / "b", 0)
    assert modules_of(tmp_path / "a", tmp_path / "b") == [
        "pardec.models.checkpoints.backbone",
        "pardec.models.checkpoints.formats.llada",
        "pardec.models.checkpoints.gpt2",
        "pardec.models.checkpoints.formats.gpt2",
    ]


def test_a_shape_without_a_tokenizer_reads_bytes(tmp_path):
    fetch(RandomSettings(source="random", shape="llada-8b"), tmp_path / "m", 0)
    tokenizer = load_tokenizer(tmp_path / "m" / "tokenizer.json")
    ids = tokenizer.encode("né 1\n")
    assert len(ids) == 6 and max(ids) < tokenizer.vocab_size == 260 and tokenizer.decode(ids) == "né 1\n"
