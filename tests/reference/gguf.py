"""Small GGUF files as llama.cpp's converter writes them, from models and tokenizers made elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import tokenizers as hf

NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
TEMPLATE = "{% for message in messages %}<|im_start|>{{ message['content'] }}<|im_end|>{% endfor %}"
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level(texts: list[str], cut: Any, size: int = 400) -> hf.Tokenizer:
    """A byte-level BPE that cuts texts by `cut` before the merges."""
    tokenizer = hf.Tokenizer(hf.models.BPE())
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = hf.decoders.ByteLevel()
    alphabet = sorted(hf.pre_tokenizers.ByteLevel.alphabet())
    trainer = hf.trainers.BpeTrainer(
        vocab_size=size, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def plain_tokenizer() -> hf.Tokenizer:
    return byte_level(["a text of some words, and 12 numbers"], hf.pre_tokenizers.ByteLevel(False), 280)


def write_gguf(
    path: Path,
    config: Any,
    weights: dict[str, np.ndarray],
    tokenizer: hf.Tokenizer,
    pre: str = "smollm",
    kind: str = "F32",
    **metadata: Any,
) -> Path:
    """Write a file; weights of two dimensions are stored as `kind`. metadata: further keys, underscores for dots only
    where the writer has a method of that name.

    config: of transformers' model.
    """
    arch = config.model_type
    writer = gguf.GGUFWriter(path, arch)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    if arch == "qwen3":
        writer.add_key_length(config.head_dim)
        writer.add_value_length(config.head_dim)
    body = json.loads(tokenizer.to_str())["model"]
    tokens = sorted(body["vocab"], key=body["vocab"].get)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types([3 if token in SPECIAL else 1 for token in tokens])
    writer.add_token_merges([" ".join(pair) for pair in body["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_pad_token_id(0)
    writer.add_chat_template(TEMPLATE)
    for name, value in metadata.items():
        getattr(writer, f"add_{name}")(*value if isinstance(value, tuple) else (value,))
    for name, weight in weights.items():
        stored(writer, name, weight, config, kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def stored(writer: gguf.GGUFWriter, name: str, weight: np.ndarray, config: Any, kind: str) -> None:
    parts = name.split(".")
    layer = f"blk.{parts[2]}." if parts[1] == "layers" else ""
    inner = ".".join(parts[3:-1] if layer else parts[:-1])
    if config.model_type == "llama" and inner in ("self_attn.q_proj", "self_attn.k_proj"):
        heads = config.num_attention_heads if "q_proj" in inner else config.num_key_value_heads
        weight = neighbours(weight, heads)
    qtype = gguf.GGMLQuantizationType[kind if weight.ndim == 2 else "F32"]
    data = gguf.quantize(np.ascontiguousarray(weight), qtype)
    writer.add_tensor(f"{layer}{NAMES[inner]}.{parts[-1]}", data, raw_dtype=qtype)


def neighbours(weight: np.ndarray, heads: int) -> np.ndarray:
    """Rows i and i + width/2 of a head side by side, as llama.cpp rotates them."""
    width = len(weight) // heads
    order = [
        head * width + half * (width // 2) + pair
        for head in range(heads)
        for pair in range(width // 2)
        for half in (0, 1)
    ]
    return weight[order]
