"""The shape of a block-diffusion draft, as config.json of a published DFlash checkpoint holds it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pardec.common.errors import UserError
from pardec.models.checkpoints.formats.rotary import Stretch, read_rotary

ARCHITECTURE = "DFlashDraftModel"


@dataclass(frozen=True)
class DraftConfig:
    """A draft of `layers` layers for a target of `target_layers` layers.

    hidden is the target's own width: the draft reads the target's embedding and writes through its head. taps:
    layers of the target, from 0, whose hidden states are its context. block: tokens of a block, the anchor
    included. qk_norm: whether queries and keys are normed by head, as in Qwen3 (model type "llama": they are not).
    """

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    block: int
    mask_id: int
    taps: tuple[int, ...]
    target_layers: int
    rope_theta: float = 10_000.0
    rope_stretch: Stretch | None = None
    norm_eps: float = 1e-6
    qk_norm: bool = True
    bos_id: int | None = None
    eos_id: int | None = None
    pad_id: int = 0

    def to_json(self) -> dict[str, Any]:
        """The content of config.json, in the published names."""
        return {
            "architectures": [ARCHITECTURE],
            "model_type": "qwen3" if self.qk_norm else "llama",
            "block_size": self.block,
            "dflash_config": {"mask_token_id": self.mask_id, "target_layer_ids": list(self.taps)},
            "num_target_layers": self.target_layers,
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.mlp,
            "max_position_embeddings": self.max_positions,
            "rope_theta": self.rope_theta,
            **({} if self.rope_stretch is None else {"rope_scaling": self.rope_stretch.to_json()}),
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "tie_word_embeddings": True,
            "bos_token_id": self.bos_id,
            "eos_token_id": self.eos_id,
            "pad_token_id": self.pad_id,
            "dtype": "float32",
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> DraftConfig:
        """Read config.json.

        Raises:
            UserError: a key is missing, or the draft needs something this model does not have; names the key.
        """
        _refuse_unsupported(values, where)
        theta, stretch = read_rotary(values, where)
        own = values.get("dflash_config") or {}
        eos = values.get("eos_token_id")
        try:
            hidden, heads = values["hidden_size"], values["num_attention_heads"]
            layers, target_layers = values["num_hidden_layers"], values["num_target_layers"]
            return cls(
                vocab_size=values["vocab_size"],
                hidden=hidden,
                layers=layers,
                heads=heads,
                kv_heads=values.get("num_key_value_heads") or heads,
                head_dim=values.get("head_dim") or hidden // heads,
                mlp=values["intermediate_size"],
                max_positions=values.get("max_position_embeddings", 2048),
                block=own.get("block_size") or values["block_size"],
                mask_id=own["mask_token_id"],
                taps=tuple(own.get("target_layer_ids") or tapped_layers(target_layers, layers)),
                target_layers=target_layers,
                rope_theta=theta,
                rope_stretch=stretch,
                norm_eps=values.get("rms_norm_eps", 1e-6),
                qk_norm=values.get("model_type", "qwen3") == "qwen3",
                bos_id=values.get("bos_token_id"),
                eos_id=eos[0] if isinstance(eos, list) else eos,
                pad_id=values.get("pad_token_id") or 0,
            )
        except KeyError as error:
            fix = "give a config.json in the published DFlash format"
            raise UserError(where, f"has no key {error.args[0]!r}", fix) from None


def tapped_layers(target_layers: int, count: int) -> tuple[int, ...]:
    """`count` layers of the target, evenly from its 2nd to its 3rd-last, as published drafts without an explicit
    list have them; all layers of a target with no more than that."""
    first, last = 1, target_layers - 3
    if last - first + 1 < count:
        return tuple(range(target_layers))
    if count == 1:
        return (target_layers // 2,)
    return tuple(round(first + index * (last - first) / (count - 1)) for index in range(count))


def _refuse_unsupported(values: dict[str, Any], where: str) -> None:
    kind = values.get("model_type", "qwen3")
    if kind not in ("qwen3", "llama"):
        raise UserError(where, f"describes a draft of type {kind!r}", "give one of type 'qwen3' or 'llama'")
    if values.get("attention_bias"):
        raise UserError(where, "sets attention_bias", "only drafts without biases are supported")
    if values.get("hidden_act", "silu") != "silu":
        raise UserError(where, f"asks for activation {values['hidden_act']!r}", "only 'silu' is supported")
    if "sliding_attention" in (values.get("layer_types") or ()):
        raise UserError(
            where, "has layers of sliding attention", "only drafts of full attention are supported"
        )
