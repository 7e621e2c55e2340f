"""Shapes of published models by name: the content of their config.json, without any download.

Each is in the format of the published checkpoint, so a random model of this shape is read by the same code.
"""

from __future__ import annotations

import difflib
from typing import Any

from pardec.common.errors import UserError

Values = dict[str, Any]


def _llama(hidden: int, mlp: int, layers: int, heads: int, kv_heads: int, **others: Any) -> Values:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": 128_256,
        "max_position_embeddings": 8192,
        "rope_theta": 500_000.0,
        "rms_norm_eps": 1e-5,
        "bos_token_id": 128_000,
        "eos_token_id": 128_001,
        "tie_word_embeddings": False,
        **others,
    }


def _qwen(kind: str, hidden: int, mlp: int, layers: int, heads: int, kv_heads: int, **others: Any) -> Values:
    return {
        "architectures": [f"{kind.capitalize()}ForCausalLM"],
        "model_type": kind,
        "hidden_size": hidden,
        "intermediate_size": mlp,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "vocab_size": 151_936,
        "max_position_embeddings": 131_072,
        "rope_theta": 1_000_000.0,
        "rms_norm_eps": 1e-6,
        "bos_token_id": 151_643,
        "eos_token_id": 151_643,
        "tie_word_embeddings": False,
        "use_sliding_window": False,
        **others,
    }


def _qwen3(hidden: int, mlp: int, layers: int, heads: int, tied: bool) -> Values:
    values = {"head_dim": 128, "max_position_embeddings": 40_960, "eos_token_id": 151_645}
    return _qwen("qwen3", hidden, mlp, layers, heads, 8, tie_word_embeddings=tied, **values)


def _gpt2(hidden: int, layers: int, heads: int) -> Values:
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": 50_257,
        "n_embd": hidden,
        "n_layer": layers,
        "n_head": heads,
        "n_positions": 1024,
        "layer_norm_epsilon": 1e-5,
        "activation_function": "gelu_new",
        "bos_token_id": 50_256,
        "eos_token_id": 50_256,
    }


LLADA: Values = {
    "architectures": ["LLaDAModelLM"],
    "model_type": "llada",
    "block_type": "llama",
    "d_model": 4096,
    "n_layers": 32,
    "n_heads": 32,
    "n_kv_heads": 32,
    "mlp_hidden_size": 12_288,
    "vocab_size": 126_464,
    "embedding_size": 126_464,
    "max_sequence_length": 4096,
    "rope_theta": 500_000.0,
    "rms_norm_eps": 1e-5,
    "weight_tying": False,
    "bos_token_id": 126_080,
    "eos_token_id": 126_081,
    "pad_token_id": 126_081,
    "mask_token_id": 126_336,
}
DREAM = {"architectures": ["DreamModel"], "model_type": "Dream", "mask_token_id": 151_666}
FAST_DLLM = {"architectures": ["Fast_dLLM_QwenForCausalLM"], "model_type": "Fast_dLLM_Qwen", "bd_size": 32}
SDAR = {"architectures": ["SDARForCausalLM"], "model_type": "sdar", "block_size": 4, "mask_token_id": 151_669}
DFLASH = {
    "architectures": ["DFlashDraftModel"],
    "block_size": 16,
    "num_target_layers": 36,
    "dflash_config": {"mask_token_id": 151_669, "target_layer_ids": [1, 9, 17, 25, 33]},
}
STRETCH = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}

SHAPES: dict[str, Values] = {
    "llada-8b": LLADA,
    "dream-7b": _qwen("qwen2", 3584, 18_944, 28, 28, 4, vocab_size=152_064) | DREAM,
    "llama-3-8b": _llama(4096, 14_336, 32, 32, 8),
    "llama-3.1-8b": _llama(4096, 14_336, 32, 32, 8, max_position_embeddings=131_072, rope_scaling=STRETCH),
    "smollm2-135m": _llama(
        576,
        1536,
        30,
        9,
        3,
        vocab_size=49_152,
        rope_theta=100_000.0,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=2,
        tie_word_embeddings=True,
    ),
    "qwen2.5-0.5b": _qwen("qwen2", 896, 4864, 24, 14, 2, tie_word_embeddings=True),
    "qwen2.5-1.5b": _qwen("qwen2", 1536, 8960, 28, 12, 2, tie_word_embeddings=True),
    "qwen2.5-7b": _qwen("qwen2", 3584, 18_944, 28, 28, 4, vocab_size=152_064),
    "qwen3-0.6b": _qwen3(1024, 3072, 28, 16, tied=True),
    "qwen3-1.7b": _qwen3(2048, 6144, 28, 16, tied=True),
    "qwen3-4b": _qwen3(2560, 9728, 36, 32, tied=True),
    "qwen3-8b": _qwen3(4096, 12_288, 36, 32, tied=False),
    "fast-dllm-v2-7b": _qwen("qwen2", 3584, 18_944, 28, 28, 4, vocab_size=152_064, eos_token_id=151_645)
    | FAST_DLLM,
    "sdar-8b": _qwen3(4096, 12_288, 36, 32, tied=False) | SDAR,
    "qwen3-8b-dflash": _qwen3(4096, 12_288, 5, 32, tied=True) | DFLASH,
    "gpt2": _gpt2(768, 12, 12),
    "gpt2-medium": _gpt2(1024, 24, 16),
    "gpt2-large": _gpt2(1280, 36, 20),
    "gpt2-xl": _gpt2(1600, 48, 25),
}

LAYERS = {"llada": "n_layers", "gpt2": "n_layer"}
POSITIONS = {"llada": "max_sequence_length", "gpt2": "n_positions"}


def shape(name: str, layers: int | None = None, max_positions: int | None = None) -> Values:
    """Return the config.json of the published model `name`, with other layers or positions if asked.

    Raises:
        UserError: no such name; the message lists the nearest and all that exist.
    """
    if name not in SHAPES:
        near = difflib.get_close_matches(name, SHAPES, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(f"shape {name!r}", "is not known", f"{hint}known: {', '.join(SHAPES)}")
    values = dict(SHAPES[name])
    kind = values["model_type"]
    if layers is not None:
        values[LAYERS.get(kind, "num_hidden_layers")] = layers
    if max_positions is not None:
        values[POSITIONS.get(kind, "max_position_embeddings")] = max_positions
    return values
