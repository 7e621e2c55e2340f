"""Small checkpoints in every published format, as their own tools write them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

WORDS = 40
SIZE = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
STRETCH = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 16,
}
LLADA = {
    "activation_type": "silu",
    "alibi": False,
    "architectures": ["LLaDAModelLM"],
    "block_type": "llama",
    "block_group_size": 1,
    "d_model": 32,
    "embedding_size": WORDS,
    "vocab_size": WORDS,
    "eos_token_id": 2,
    "pad_token_id": 2,
    "mask_token_id": 3,
    "include_bias": False,
    "include_qkv_bias": False,
    "layer_norm_type": "rms",
    "attention_layer_norm": False,
    "max_sequence_length": 64,
    "mlp_hidden_size": 48,
    "mlp_ratio": 4,
    "model_type": "llada",
    "multi_query_attention": None,
    "n_heads": 4,
    "n_kv_heads": 4,
    "n_layers": 3,
    "rms_norm_eps": 1e-05,
    "rope": True,
    "rope_theta": 500.0,
    "scale_logits": False,
    "weight_tying": False,
}
RENAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "Dream": ("Qwen2", {"architectures": ["DreamModel"], "model_type": "Dream", "mask_token_id": 3}),
    "Fast_dLLM_Qwen": (
        "Qwen2",
        {
            "architectures": ["Fast_dLLM_QwenForCausalLM"],
            "auto_map": {"AutoModelForCausalLM": "modeling.Fast_dLLM_QwenForCausalLM"},
            "bd_size": 8,
            "conplemenrary_mask": True,  # the published key
            "model_type": "Fast_dLLM_Qwen",
            "mask_token_id": 3,
        },
    ),
    "sdar": (
        "Qwen3",
        {
            "architectures": ["SDARForCausalLM"],
            "auto_map": {"AutoModelForCausalLM": "modeling_sdar.SDARForCausalLM"},
            "attention_bias": False,
            "block_size": 4,
            "fuse_cross_entropy": True,
            "mask_token_id": 3,
            "model_type": "sdar",
        },
    ),
}
"""Formats whose weights are a Qwen's: the class of transformers that has them, and what their config.json says else."""


def write_transformers(folder: Path, kind: str, shards: bool = True, **changes: Any):
    """Write a random model by transformers' own `save_pretrained`; return it in float64, in evaluation mode.

    kind: llama, qwen2, qwen3, gpt2, or one of `RENAMED`, which is written under its own name.
    """
    import transformers as hf

    torch.manual_seed(0)
    if kind == "gpt2":
        size = {"vocab_size": WORDS, "n_embd": 32, "n_layer": 3, "n_head": 4, "n_positions": 64}
        config = hf.GPT2Config(**{**size, "bos_token_id": 1, "eos_token_id": 2, **changes})
        model = hf.GPT2LMHeadModel(config)
    else:
        name = RENAMED[kind][0] if kind in RENAMED else kind.capitalize()
        more = {"head_dim": 16} if name == "Qwen3" else {}
        config = getattr(hf, f"{name}Config")(**{**SIZE, "tie_word_embeddings": False, **more, **changes})
        model = getattr(hf, f"{name}ForCausalLM")(config)
    disturb(model)
    model.save_pretrained(folder, max_shard_size="20KB" if shards else "5GB")
    if kind in RENAMED:
        path = folder / "config.json"
        config = json.loads(path.read_text())
        config |= RENAMED[kind][1]
        path.write_text(json.dumps(config))
    return model.double().eval()


def disturb(model: torch.nn.Module) -> None:
    """Larger than a fresh start, biases and norms too, so that an exchange of two weights shows."""
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.3)
            else:
                norm = "norm" in name or "ln_" in name
                parameter.normal_(1.0 if norm and "bias" not in name else 0.0, 0.2)


def write_llada(folder: Path, **changes: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Write random weights under LLaDA's published names, in two shards; return them and config.json."""
    config = {**LLADA, **changes}
    hidden, mlp = config["d_model"], config["mlp_hidden_size"]
    key = hidden // config["n_heads"] * config["n_kv_heads"]
    root = "model.transformer."
    shapes: dict[str, tuple[int, ...]] = {
        f"{root}wte.weight": (WORDS, hidden),
        f"{root}ln_f.weight": (hidden,),
    }
    if not config["weight_tying"]:
        shapes[f"{root}ff_out.weight"] = (WORDS, hidden)
    for layer in range(config["n_layers"]):
        of_layer = {
            "q_proj": (hidden, hidden),
            "k_proj": (key, hidden),
            "v_proj": (key, hidden),
            "attn_out": (hidden, hidden),
            "ff_proj": (mlp, hidden),
            "up_proj": (mlp, hidden),
            "ff_out": (hidden, mlp),
            "attn_norm": (hidden,),
            "ff_norm": (hidden,),
        }
        shapes |= {f"{root}blocks.{layer}.{name}.weight": shape for name, shape in of_layer.items()}
    draw = torch.Generator().manual_seed(4)
    weights = {
        name: torch.randn(shape, generator=draw) * 0.3 + (1.0 if len(shape) == 1 else 0.0)
        for name, shape in shapes.items()
    }
    write_shards(folder, weights)
    (folder / "config.json").write_text(json.dumps(config))
    return weights, config


def write_shards(folder: Path, weights: dict[str, torch.Tensor], count: int = 2) -> None:
    """`count` safetensors files and their index, named as the hub names them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = sorted(weights)
    index = {}
    for number in range(count):
        file = f"model-{number + 1:05d}-of-{count:05d}.safetensors"
        part = names[number::count]
        save_file({name: weights[name].contiguous() for name in part}, folder / file)
        index |= dict.fromkeys(part, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
