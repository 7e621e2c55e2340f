"""Llama's format: Llama 3 and 3.1, and our own checkpoints with one key more for what Llama has no name for."""

from __future__ import annotations

from pardec.common.errors import UserError
from pardec.models.architectures.config import EXTRA, BackboneConfig
from pardec.models.checkpoints.formats.base import Format, Values, first, further, reading, refuse
from pardec.models.checkpoints.formats.rotary import read_rotary


class Llama(Format):
    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        plain = {"attention_bias": (False, None), "mlp_bias": (False, None), "hidden_act": ("silu",)}
        refuse(values, where, plain)
        return backbone(values, where)


def backbone(values: Values, where: str, eps: float = 1e-6, **changes) -> BackboneConfig:
    """A config.json in the names that Llama and its descendants share.

    eps: what their class takes where `rms_norm_eps` is absent. changes: what the descendant knows itself.

    Raises:
        UserError: a bad section of our own.
        KeyError: a size is missing.
    """
    heads, hidden = values["num_attention_heads"], values["hidden_size"]
    theta, stretch = read_rotary(values, where)
    common = {
        "vocab_size": values["vocab_size"],
        "hidden": hidden,
        "layers": values["num_hidden_layers"],
        "heads": heads,
        "kv_heads": values.get("num_key_value_heads") or heads,
        "head_dim": values.get("head_dim") or hidden // heads,
        "mlp": values["intermediate_size"],
        "max_positions": values.get("max_position_embeddings", 2048),
        "causal": values.get("is_causal", True),
        "tied": values.get("tie_word_embeddings", False),
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
        return BackboneConfig(**{**common, **(values.get(EXTRA) or {}), **changes})
    except TypeError as error:
        raise UserError(where, f"has a bad {EXTRA!r} section ({error})", "train the model again") from None
