"""Llama's format: Llama 3 and 3.1, and our own checkpoints with one key more for what Llama has no name for."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from pardec.common.errors import UserError
from pardec.models.architectures.config import BackboneConfig, PositionConfig
from pardec.models.checkpoints.formats.base import (
    Format,
    Values,
    first,
    further,
    read_sizes,
    reading,
    refuse,
    write_sizes,
    written_ends,
)
from pardec.models.checkpoints.formats.rotary import read_rotary

EXTRA = "pardec"
"""The key of config.json for settings that Llama lacks."""
EXTRA_KEYS = ("family", "shift", "rotary", "qkv_bias", "qk_norm")


class Llama(Format):
    """`llama`, the format that this project also writes."""

    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        plain = {"attention_bias": (False, None), "mlp_bias": (False, None), "hidden_act": ("silu",)}
        refuse(values, where, plain)
        return backbone(values, where)

    @classmethod
    def write(cls, config: BackboneConfig) -> Values:
        """Return the content of config.json, in the names of `transformers.LlamaConfig` plus one key of our own."""
        stretched = {"rope_type": "default"} if config.rope_stretch is None else config.rope_stretch.to_json()
        extra: dict[str, Any] = {key: getattr(config, key) for key in EXTRA_KEYS}
        extra["positions"] = None if config.positions is None else asdict(config.positions)
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            **write_sizes(config),
            "is_causal": config.causal,
            "tie_word_embeddings": config.tied,
            "rope_parameters": {**stretched, "rope_theta": config.rope_theta},
            "rope_theta": config.rope_theta,
            "rms_norm_eps": config.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": config.bos_id,
            "eos_token_id": written_ends(config),
            "pad_token_id": config.pad_id,
            "mask_token_id": config.mask_id,
            "dtype": "float32",
            EXTRA: extra,
        }


def backbone(values: Values, where: str, eps: float = 1e-6, **changes: Any) -> BackboneConfig:
    """Return a config.json in the names that Llama and its descendants share.

    eps: the class's default of `rms_norm_eps`. changes: fields that the descendant fixes.

    Raises:
        UserError: a bad section of our own.
        KeyError: a size is missing.
    """
    sliding = next((kind for kind in values.get("layer_types") or () if kind != "full_attention"), None)
    if sliding is not None:
        raise UserError(where, f"has layers of {sliding!r}", "only layers of full attention are supported")
    theta, stretch = read_rotary(values, where)
    common = {
        **read_sizes(values, where),
        "causal": True if values.get("is_causal") is None else values["is_causal"],
        "tied": values.get("tie_word_embeddings") or False,
        "rope_theta": theta,
        "rope_stretch": stretch,
        "norm_eps": values.get("rms_norm_eps", eps),
        "bos_id": values.get("bos_token_id"),
        "eos_id": first(values.get("eos_token_id")),
        "stop_ids": further(values.get("eos_token_id")),
        "pad_id": first(values.get("pad_token_id")) or 0,
        "mask_id": values.get("mask_token_id"),
    }
    try:
        extra = dict(values.get(EXTRA) or {})
        positions = extra.pop("positions", None)
        extra["positions"] = None if positions is None else PositionConfig.of(positions)
        return BackboneConfig(**{**common, **extra, **changes})
    except TypeError as error:
        raise UserError(where, f"has a bad {EXTRA!r} section ({error})", "train the model again") from None
