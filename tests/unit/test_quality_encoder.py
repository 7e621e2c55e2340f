"""Similarity by a tiny random encoder: identity, symmetry, greedy matching by hand, and texts of any length."""

import json
import shutil

import pytest
import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from pardec.common.errors import UserError
from pardec.quality.base import Context
from pardec.quality.encoder_similarity import Encoder, greedy_f1
from pardec.quality.registry import METRICS

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "cat", "dog", "sat", "ran", "mat"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    path = tmp_path_factory.mktemp("bert")
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    ).save_pretrained(path)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=12,
    )
    BertModel(config).save_pretrained(path)
    return path


def measure(folder, pairs):
    outputs = [
        {"id": str(i), "task": "text", "prompt": "", "answer": answer, "tokens": [], "text": text}
        for i, (text, answer) in enumerate(pairs)
    ]
    return METRICS.load("encoder_similarity")().measure(outputs, Context(encoder=folder))


def test_the_answer_itself_scores_one_and_others_less(folder):
    result = measure(
        folder, [("the cat sat", "the cat sat"), ("the dog ran", "the cat sat"), ("", "the cat")]
    )
    assert result.per_prompt[0] == pytest.approx(1.0, abs=1e-5)
    assert result.per_prompt[1] < 0.999 and result.per_prompt[2] == 0.0
    assert result.value == pytest.approx(sum(result.per_prompt) / 3) and result.n == 3


def test_f1_is_symmetric(folder):
    one, other = "the cat sat", "the dog ran mat"
    result = measure(folder, [(one, other), (other, one)])
    assert result.per_prompt[0] == pytest.approx(result.per_prompt[1], abs=1e-6)


def test_special_tokens_are_left_out_and_long_texts_cut(folder):
    encoder = Encoder(folder, "cpu")
    assert encoder.embed("the cat").shape == (2, 16)
    assert encoder.embed("cat " * 50).shape == (10, 16)
    assert torch.allclose(encoder.embed("the cat").norm(dim=1), torch.ones(2), atol=1e-5)


def test_greedy_matching_by_hand():
    output = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    answer = torch.tensor([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6]])
    precision, recall = (1.0 + 0.8) / 2, (1.0 + 0.8 + 0.8) / 3
    assert greedy_f1(output, answer) == pytest.approx(2 * precision * recall / (precision + recall))
    assert greedy_f1(output, torch.zeros(0, 2)) == 0.0


@pytest.mark.parametrize("kind", ["Roberta", "XLMRoberta", "MPNet"])
def test_encoders_that_number_positions_behind_the_padding_take_fewer_tokens(folder, tmp_path, kind):
    """RoBERTa's 514 positions for 512 tokens, on a small scale: 14 positions, padding 1, so 12 tokens with two ends."""
    import transformers

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("*.safetensors"))
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=len(WORDS),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=14,
        pad_token_id=1,
    )
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    encoder = Encoder(tmp_path, "cpu")
    assert encoder.longest == 12 and encoder.embed("cat " * 50).shape == (10, 16)
    (result,) = measure(tmp_path, [("cat " * 50, "the cat sat")]).per_prompt
    assert 0 < result <= 1


@pytest.mark.parametrize("kind", ["T5", "Bart"])
def test_of_a_model_with_a_decoder_the_encoder_is_taken(folder, tmp_path, kind):
    import transformers

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    small = {"vocab_size": len(WORDS), "d_model": 16, "pad_token_id": 0, "decoder_start_token_id": 0}
    layers = {"num_layers": 1, "num_heads": 2, "d_kv": 8, "d_ff": 16}
    if kind == "Bart":
        layers = {
            f"{side}_{key}": 2 for side in ("encoder", "decoder") for key in ("layers", "attention_heads")
        }
        layers |= {"encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "max_position_embeddings": 12}
    config = getattr(transformers, f"{kind}Config")(**small, **layers)
    getattr(transformers, f"{kind}Model")(config).save_pretrained(tmp_path)
    result = measure(tmp_path, [("the cat sat", "the cat sat")])
    assert result.value == pytest.approx(1.0, abs=1e-5)


def test_damaged_weights_are_one_message(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    (tmp_path / "model.safetensors").write_bytes(b"cut")
    with pytest.raises(UserError, match="is not an encoder"):
        Encoder(tmp_path, "cpu")


def test_weights_that_lack_some_are_refused_and_not_drawn(folder, tmp_path):
    """transformers would draw them at random, and the scores with them."""
    from safetensors.torch import load_file, save_file

    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    weights = load_file(tmp_path / "model.safetensors")
    without = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(without, tmp_path / "model.safetensors", metadata={"format": "pt"})
    Encoder(tmp_path, "cpu")
    cut = {name: value for name, value in without.items() if "layer.1" not in name}
    save_file(cut, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 16 weight\(s\), first 'encoder.layer.1"):
        Encoder(tmp_path, "cpu")


def test_a_tokenizer_with_more_tokens_than_the_encoder_is_refused(folder, tmp_path):
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    body = json.loads((tmp_path / "tokenizer.json").read_text())
    body["model"]["vocab"]["owl"] = len(WORDS)
    (tmp_path / "tokenizer.json").write_text(json.dumps(body))
    with pytest.raises(UserError, match="more tokens than its embedding"):
        Encoder(tmp_path, "cpu")


def test_a_missing_or_empty_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        Encoder(tmp_path / "none", "cpu")
    with pytest.raises(UserError, match="not an encoder"):
        Encoder(tmp_path, "cpu")
