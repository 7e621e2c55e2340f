"""Every key of a checkpoint's JSON files with every odd value: taken for what it is, or one message."""

from __future__ import annotations

import json
from copy import deepcopy

import pytest

from pardec.common.errors import UserError
from pardec.data.ends import read_ends
from pardec.data.load import load_tokenizer
from pardec.data.tokenizers import byte_tokenizer
from pardec.models.architectures.config import GPT2Config, Stretch
from pardec.models.checkpoints.configs import architecture_of, config_json, read_config
from pardec.models.registry import ARCHITECTURES
from tests.reference.checkpoints import LLADA, SIZE
from tests.reference.drafts import draft_model
from tests.reference.models import backbone

GONE = "(gone)"
ODD = [None, -1, 0, 1, 1.5, "x", "", [], {}, True, False, 10**30, float("nan"), float("inf"), [None], ["x"], [1, 2],
       {"a": 1}, GONE]  # fmt: skip
SIZES = ("layers", "hidden", "heads", "mlp", "vocab_size", "head_dim", "max_positions")
CONFIGS = {
    "llama": config_json(backbone(True, rope_stretch=Stretch(8.0, 1.0, 4.0, 32)).config),
    "diffusion": config_json(backbone(False).config),
    "gpt2": config_json(GPT2Config(vocab_size=30, hidden=16, layers=1, heads=2, mlp=32, max_positions=64)),
    "draft": config_json(draft_model().config),
    "qwen2": {**SIZE, "model_type": "qwen2", "use_sliding_window": False, "layer_types": ["full_attention"]},
    "qwen3": {**SIZE, "model_type": "qwen3", "rope_scaling": None, "rope_theta": 1e6},
    "dream": {**SIZE, "model_type": "Dream", "mask_token_id": 3},
    "llada": LLADA,
}
TOKEN = {"content": "<eos>", "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
BESIDE = {
    "tokenizer_config.json": {
        "tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<eos>", "bos_token": TOKEN, "pad_token": None,
        "added_tokens_decoder": {"2": {**TOKEN, "special": True}}, "additional_special_tokens": ["<mask>"],
        "chat_template": "{{ messages[0].content }}<eos>", "add_bos_token": True, "model_max_length": 64,
        "clean_up_tokenization_spaces": False, "extra_special_tokens": {},
    },
    "generation_config.json": {"eos_token_id": [2, 3], "pad_token_id": 0, "temperature": 1.0},
    "special_tokens_map.json": {"eos_token": TOKEN, "additional_special_tokens": []},
    "added_tokens.json": {"<extra>": 260},
}  # fmt: skip


def changed(values, path=()):
    """Each copy of `values` with one key, at any depth, replaced by an odd value or removed."""
    for key, inner in values.items():
        for odd in ODD:
            whole = deepcopy(values)
            if odd == GONE:
                del whole[key]
            else:
                whole[key] = odd
            yield (*path, key, odd), whole
        if isinstance(inner, dict):
            for place, part in changed(inner, (*path, key)):
                yield place, {**values, key: part}


@pytest.mark.parametrize("kind", CONFIGS)
def test_every_key_of_a_config(kind, tmp_path):
    for place, values in changed(CONFIGS[kind]):
        try:
            config = read_config(values, "config.json")
            config.info()
            (tmp_path / "config.json").write_text(json.dumps(values))
            if all(getattr(config, name, 1) < 10_000 for name in SIZES):
                ARCHITECTURES.load(architecture_of(tmp_path)).wanted(tmp_path)
        except UserError as error:
            assert error.what and error.fix
        except Exception as error:
            raise AssertionError(f"{kind}: {place}") from error


@pytest.mark.parametrize("name", BESIDE)
def test_every_key_of_a_file_beside_the_weights(name, tmp_path):
    byte_tokenizer().save(tmp_path / "tokenizer.json")
    (tmp_path / "config.json").write_text(json.dumps(CONFIGS["llama"]))
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"eos_token": "<eos>"}))
    for place, values in changed(BESIDE[name]):
        (tmp_path / name).write_text(json.dumps(values))
        try:
            assert all(type(index) is int for index in read_ends(tmp_path))
            tokenizer = load_tokenizer(tmp_path)
            assert tokenizer.decode(tokenizer.encode("a b")) and tokenizer.eos_id in tokenizer.end_ids
            tokenizer.encode_chat([{"role": "user", "content": "a"}])
        except UserError as error:
            assert error.what and error.fix
        except Exception as error:
            raise AssertionError(f"{name}: {place}") from error
