"""config.json from a GGUF file's metadata."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.models.gguf.reader import GGUF

ARCHITECTURES = {"llama": "LlamaForCausalLM", "qwen2": "Qwen2ForCausalLM", "qwen3": "Qwen3ForCausalLM"}
"""Architectures that can be read, by llama.cpp's name; it is the `model_type` of config.json too."""
ENDS = ("eos", "eot", "eom")
"""Tokens of the metadata that end a text: llama.cpp stops at each."""
WHOLE_HEAD = "attention.value_length"


def config_of(file: GGUF) -> dict[str, Any]:
    """Return the content of config.json.

    Raises:
        UserError: an architecture that is not known, a missing key, or what its backbone here does not have: experts,
            scaled or partial rotary positions, heads of two widths.
    """
    kind = file.architecture
    if kind not in ARCHITECTURES:
        known = ", ".join(ARCHITECTURES)
        raise UserError(file.path, f"contains a model of architecture {kind!r}", f"give one of {known}")
    need = {
        key: file.need(f"{kind}.{key}")
        for key in ("block_count", "embedding_length", "feed_forward_length", "attention.head_count")
    }
    hidden, heads = need["embedding_length"], need["attention.head_count"]
    kv_heads = file.of_model("attention.head_count_kv", heads)
    for key, value in [*need.items(), ("attention.head_count_kv", kv_heads)]:
        if not isinstance(value, int):
            what = f"has {kind}.{key} by layer ({value!r})"
            raise UserError(file.path, what, "only layers of one shape are supported")
    width = file.of_model("attention.key_length") or hidden // heads
    _refuse(file, width)
    if "token_embd.weight" not in file.tensors:
        raise UserError(file.path, "has no weight 'token_embd.weight'", "convert the model again")
    ids = {f"{name}_token_id": file.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", *ENDS)}
    ends = list(
        dict.fromkeys(ids[f"{name}_token_id"] for name in ENDS if ids[f"{name}_token_id"] is not None)
    )
    values = {
        "architectures": [ARCHITECTURES[kind]],
        "model_type": kind,
        "vocab_size": int(file.tensors["token_embd.weight"].shape[1]),
        "hidden_size": hidden,
        "intermediate_size": need["feed_forward_length"],
        "num_hidden_layers": need["block_count"],
        "num_attention_heads": heads,
        "num_key_value_heads": kv_heads,
        "max_position_embeddings": file.of_model("context_length", 2048),
        "rms_norm_eps": file.need(f"{kind}.attention.layer_norm_rms_epsilon"),
        "rope_theta": file.of_model("rope.freq_base", 10_000.0),
        "hidden_act": "silu",
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "bos_token_id": ids["bos_token_id"],
        "eos_token_id": ends if len(ends) > 1 else next(iter(ends), None),
        "pad_token_id": file.get("tokenizer.ggml.padding_token_id"),
        "dtype": "float32",
    }
    return values if kind == "qwen2" and width * heads == hidden else {**values, "head_dim": width}


def _refuse(file: GGUF, width: int) -> None:
    """Refuse what the backbone would run wrongly."""
    kind = file.architecture
    scaling = file.of_model("rope.scaling.type", "none")
    if scaling not in ("none", None) or "rope_freqs.weight" in file.tensors:
        what = "has scaled rotary positions"
        raise UserError(
            file.path, what, "give the checkpoint in safetensors, whose config.json states the scaling"
        )
    if file.of_model("expert_count"):
        raise UserError(file.path, "is a mixture of experts", "give a dense model")
    wanted = {WHOLE_HEAD: width, "rope.dimension_count": width}
    for key, size in wanted.items():
        if (value := file.of_model(key)) not in (None, size):
            what = f"has {kind}.{key} {value} and heads of width {size}"
            raise UserError(file.path, what, "only whole heads of one width are supported")
