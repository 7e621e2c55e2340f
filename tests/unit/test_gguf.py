"""GGUF files: weights, configuration, tokenizer and chat template, and clear refusals. Every file is made here."""

from __future__ import annotations

import random

import gguf
import numpy as np
import pytest
import tokenizers as hf
import torch

from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256
from pardec.data.load import load_tokenizer
from pardec.models.gguf.reader import GGUF
from pardec.models.gguf.tokenizer import SPLITS, tokenizer_of
from pardec.models.load import load_model
from pardec.models.sources import path
from pardec.models.sources.path import PathSettings
from tests.reference.checkpoints import write_transformers
from tests.reference.gguf import byte_level, plain_tokenizer, write_gguf

WORDS = 280
FORMATS = ("F32", "F16", "BF16", "Q8_0", "Q5_1", "Q5_0", "Q4_1", "Q4_0")


def model(tmp_path, kind="llama", **changes):
    size = {"vocab_size": WORDS, "intermediate_size": 64, **changes}
    return write_transformers(tmp_path / "theirs", kind, **size)


def weights(theirs) -> dict[str, np.ndarray]:
    tied = theirs.config.tie_word_embeddings
    named = theirs.state_dict().items()
    return {name: one.float().numpy() for name, one in named if not (tied and name == "lm_head.weight")}


def write(tmp_path, theirs, kind="F32", **metadata):
    return write_gguf(
        tmp_path / "m.gguf", theirs.config, weights(theirs), plain_tokenizer(), kind=kind, **metadata
    )


def fetched(tmp_path, file, **settings):
    source = path.fetch(PathSettings(source="path", path=str(file), **settings), tmp_path / "out", 0)
    return source, tmp_path / "out"


def refused(tmp_path, file) -> str:
    with pytest.raises(UserError) as caught:
        fetched(tmp_path, file)
    assert str(file) in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("kind", ["llama", "qwen2", "qwen3"])
@torch.no_grad()
def test_logits_are_those_of_the_model_that_was_converted(tmp_path, kind, tied):
    theirs = model(tmp_path, kind, tie_word_embeddings=tied)
    _, folder = fetched(tmp_path, write(tmp_path, theirs))
    tokens = torch.randint(4, WORDS, (2, 20), generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(
        load_model(folder)(tokens).double(), theirs(tokens).logits, rtol=2e-4, atol=2e-4
    )
    import transformers

    again = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    torch.testing.assert_close(again(tokens).logits.double(), theirs(tokens).logits, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize("kind", FORMATS)
@torch.no_grad()
def test_weights_are_what_their_format_means(tmp_path, kind):
    theirs = model(tmp_path)
    source, folder = fetched(tmp_path, write(tmp_path, theirs, kind))
    ours, qtype = load_model(folder), gguf.GGMLQuantizationType[kind]
    assert source["gguf"]["weights"][kind] >= 20
    state = theirs.state_dict()
    for name, weight in state.items():
        if weight.dim() == 2:
            rounded = gguf.dequantize(gguf.quantize(weight.float().numpy(), qtype), qtype)
            state[name] = torch.from_numpy(np.array(rounded)).double()
    theirs.load_state_dict(state)
    tokens = torch.arange(4, 24)[None]
    torch.testing.assert_close(ours(tokens).double(), theirs(tokens).logits, rtol=2e-4, atol=2e-4)


@pytest.mark.parametrize(("kind", "levels"), [("Q8_0", 254), ("Q4_1", 15)])
def test_a_quantised_weight_is_within_half_a_level_of_the_original(tmp_path, kind, levels):
    theirs = model(tmp_path)
    file = GGUF(write(tmp_path, theirs, kind))
    original = weights(theirs)["model.layers.0.mlp.down_proj.weight"].reshape(-1, 32)
    stored = file.weight("blk.0.ffn_down.weight").reshape(-1, 32)
    spread = np.ptp(original, axis=1) if kind == "Q4_1" else 2 * np.abs(original).max(axis=1)
    # Scales are stored in 16 bits, which moves a level by a thousandth of the range.
    assert (np.abs(stored - original) <= (0.5 / levels + 2e-3) * spread[:, None]).all()
    assert np.abs(stored - original).max() > 0


def test_the_folder_says_what_it_was_made_of(tmp_path):
    file = write(tmp_path, model(tmp_path), "Q8_0", eot_token_id=5)
    source, folder = fetched(tmp_path, file)
    assert source["gguf"]["sha256"] == sha256(file) and source == read_json(folder / "source.json")
    assert source["files"]["model.safetensors"]["sha256"] == sha256(folder / "model.safetensors")
    config = read_json(folder / "config.json")
    assert config["rms_norm_eps"] == 1e-6 and config["eos_token_id"] == [2, 5]
    assert load_tokenizer(folder).end_ids == {2, 5}
    assert load_model(folder).info.ends == (2, 5)
    again, _ = fetched(tmp_path, file, quantise="int8")
    assert again["config_changes"] == {"quantise": "int8"}
    load_model(folder)


def test_a_chat_goes_through_the_files_own_template(tmp_path):
    _, folder = fetched(tmp_path, write(tmp_path, model(tmp_path)))
    tokenizer = load_tokenizer(folder)
    assert tokenizer.render_chat([{"role": "user", "content": "hi"}]) == "<|im_start|>hi<|im_end|>"
    assert tokenizer.encode_chat([{"role": "user", "content": "hi"}])[0] == 1


def cut(rule):
    level = hf.pre_tokenizers.ByteLevel(add_prefix_space=False)
    if rule in SPLITS:
        bare = hf.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        return hf.pre_tokenizers.Sequence([hf.pre_tokenizers.Split(hf.Regex(SPLITS[rule]), "isolated"), bare])
    if rule == "digits":
        return hf.pre_tokenizers.Sequence([hf.pre_tokenizers.Digits(individual_digits=True), level])
    return level


TEXTS = (
    "The tokenizer's words, they've 12345 and 3.14 of them.\n\n\tdef f(x):\n        return x ** 2  # naïve\r\n",
    "  leading spaces, trailing  ", "日本語 🙂 café", "a<|im_end|>b", "I'LL WE'RE 1st 22nd 333rd 4444th",
)  # fmt: skip


def drawn(count=100):
    draw = random.Random(3)
    kinds = [(32, 126), (32, 64), (0xA0, 0x2FF), (0x4E00, 0x4FFF), (9, 10)]
    for _ in range(count):
        pairs = [draw.choice(kinds) for _ in range(draw.randrange(1, 60))]
        yield "".join(chr(draw.randint(*pair)) for pair in pairs)


@pytest.mark.parametrize(
    ("pre", "rule"), [("smollm", "digits"), ("gpt-2", "gpt2"), ("llama-bpe", "llama3"), ("qwen2", "qwen2")]
)
def test_ids_are_those_of_the_tokenizer_that_was_converted(tmp_path, pre, rule):
    theirs = byte_level([*TEXTS, *drawn(40)], cut(rule), 500)
    import transformers

    config = transformers.LlamaConfig(vocab_size=500, num_hidden_layers=0)
    file = write_gguf(tmp_path / "t.gguf", config, {}, theirs, pre=pre)
    ours, settings = tokenizer_of(GGUF(file))
    assert settings["eos_token"] == "<|im_end|>" and settings["bos_token"] == "<|im_start|>"
    for text in [*TEXTS, *drawn()]:
        if rule == "qwen2":
            text = hf.normalizers.NFC().normalize_str(text)
        wanted = theirs.encode(text, add_special_tokens=False).ids
        assert ours.encode(text, add_special_tokens=False).ids == wanted
        assert ours.decode(wanted, skip_special_tokens=False) == text
    starts = ours.encode("a").ids[0] == 1
    assert starts == (pre == "llama-bpe")


def test_what_cannot_be_read_is_refused_with_the_file_and_a_fix(tmp_path):
    (tmp_path / "text.gguf").write_text("not one")
    assert "is not a GGUF file" in refused(tmp_path, tmp_path / "text.gguf")
    assert "does not exist" in refused(tmp_path, tmp_path / "gone.gguf")
    theirs = model(tmp_path)
    whole = write(tmp_path, theirs).read_bytes()
    (tmp_path / "half.gguf").write_bytes(whole[: len(whole) // 2])
    assert "is not a whole GGUF file" in refused(tmp_path, tmp_path / "half.gguf")
    cases = {
        "scaled rotary": {"rope_scaling_type": gguf.RopeScalingType.LINEAR},
        "mixture of experts": {"expert_count": 8},
        "rope.dimension_count 4": {"rope_dimension_count": 4},
    }
    for reason, metadata in cases.items():
        assert reason in refused(tmp_path, write(tmp_path, theirs, **metadata))
    theirs.config.model_type = "mamba"
    assert "architecture 'mamba'" in refused(tmp_path, write(tmp_path, theirs))


@pytest.mark.parametrize("pre", ["tekken", "deepseek-v3"])
def test_an_unknown_way_of_cutting_is_refused(tmp_path, pre):
    import transformers

    config = transformers.LlamaConfig(vocab_size=280, num_hidden_layers=0)
    file = write_gguf(tmp_path / "t.gguf", config, {}, plain_tokenizer(), pre=pre)
    with pytest.raises(UserError, match=f"{pre}.*not known"):
        tokenizer_of(GGUF(file))


def test_a_missing_and_an_unknown_weight_are_named(tmp_path):
    theirs = model(tmp_path)
    left = {name: one for name, one in weights(theirs).items() if "layers.1.mlp.up" not in name}
    file = write_gguf(tmp_path / "m.gguf", theirs.config, left, plain_tokenizer())
    assert "model.layers.1.mlp.up_proj.weight" in refused(tmp_path, file)
    biased = {**weights(theirs), "model.layers.0.self_attn.q_proj.bias": np.zeros(32, np.float32)}
    assert "q_proj.bias" in refused(tmp_path, write_gguf(file, theirs.config, biased, plain_tokenizer()))
