"""GPT-2's config.json."""

from __future__ import annotations

from pardec.models.architectures.config import GPT2Config
from pardec.models.checkpoints.formats.base import (
    Format,
    Values,
    first,
    further,
    head_width,
    reading,
    refuse,
    written_ends,
)

PLAIN = {
    "model_type": ("gpt2",),
    "activation_function": ("gelu_new",),
    "scale_attn_weights": (True,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "add_cross_attention": (False,),
    "tie_word_embeddings": (True, False),
}


class GPT2Format(Format):
    """`gpt2`, in the names of transformers."""

    backbone = False

    @reading
    def read(cls, values: Values, where: str) -> GPT2Config:
        refuse(values, where, PLAIN)
        hidden, eos = values["n_embd"], values.get("eos_token_id")
        head_width({}, hidden, values["n_head"], where)
        return GPT2Config(
            vocab_size=values["vocab_size"],
            hidden=hidden,
            layers=values["n_layer"],
            heads=values["n_head"],
            mlp=values.get("n_inner") or 4 * hidden,
            max_positions=values["n_positions"],
            tied=values.get("tie_word_embeddings", True),
            norm_eps=values.get("layer_norm_epsilon", 1e-5),
            bos_id=values.get("bos_token_id"),
            eos_id=first(eos),
            stop_ids=further(eos),
            pad_id=first(values.get("pad_token_id")) or 0,
        )

    @classmethod
    def write(cls, config: GPT2Config) -> Values:
        """Return the content of config.json, in the names of `transformers.GPT2Config`."""
        return {
            "architectures": ["GPT2LMHeadModel"],
            "model_type": "gpt2",
            "vocab_size": config.vocab_size,
            "n_embd": config.hidden,
            "n_layer": config.layers,
            "n_head": config.heads,
            "n_inner": config.mlp,
            "n_positions": config.max_positions,
            "tie_word_embeddings": config.tied,
            "layer_norm_epsilon": config.norm_eps,
            "activation_function": "gelu_new",
            "bos_token_id": config.bos_id,
            "eos_token_id": written_ends(config),
            "pad_token_id": config.pad_id,
        }
