"""The shape of a backbone: read from and written to `config.json` in the Hugging Face Llama format."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pardec.common.errors import UserError

EXTRA = "pardec"
"""The one key of config.json that holds what Llama has no name for."""
EXTRA_KEYS = (
    "family",
    "shift",
    "rotary",
    "prompt_positions",
    "canvas_positions",
    "grid_rows",
    "grid_columns",
    "grid_cell",
    "grid_width_at",
    "grid_zero_id",
)


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes and flags of one decoder-only transformer.

    prompt_positions and canvas_positions are the rows of two learned position tables (0: no table): the
    first counts from a row's first real token, the second from the first token of the canvas; a position
    past a table's end uses its last row. grid_rows and grid_columns are two more, for a canvas that is a
    table: its token p stands in row p // stride and column p % stride, where the stride is `grid_cell`
    tokens times the number that the prompt holds at its position `grid_width_at` (the token of number n
    being `grid_zero_id` + n). rotary: whether queries and keys are turned by their position. shift: logits
    at i - 1 predict position i of the canvas. family: the objective it was trained with.
    """

    vocab_size: int
    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    max_positions: int
    causal: bool
    tied: bool = True
    rope_theta: float = 10_000.0
    norm_eps: float = 1e-5
    bos_id: int | None = 1
    eos_id: int | None = 2
    pad_id: int = 0
    mask_id: int | None = None
    prompt_positions: int = 0
    canvas_positions: int = 0
    grid_rows: int = 0
    grid_columns: int = 0
    grid_cell: int = 2
    grid_width_at: int = 0
    grid_zero_id: int = 4
    rotary: bool = True
    shift: bool = False
    family: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The content of config.json, in the names of `transformers.LlamaConfig` plus one key of our own."""
        return {
            "architectures": ["LlamaForCausalLM"],
            "model_type": "llama",
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.head_dim,
            "intermediate_size": self.mlp,
            "max_position_embeddings": self.max_positions,
            "is_causal": self.causal,
            "tie_word_embeddings": self.tied,
            "rope_parameters": {"rope_type": "default", "rope_theta": self.rope_theta},
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": self.bos_id,
            "eos_token_id": self.eos_id,
            "pad_token_id": self.pad_id,
            "mask_token_id": self.mask_id,
            "dtype": "float32",
            EXTRA: {key: getattr(self, key) for key in EXTRA_KEYS},
        }

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> BackboneConfig:
        """Read config.json.

        Raises:
            UserError: a key is missing, or the model needs something this backbone does not have; names the
            key.
        """
        _refuse_unsupported(values, where)
        extra = values.get(EXTRA) or {}
        try:
            heads, hidden = values["num_attention_heads"], values["hidden_size"]
            return cls(
                vocab_size=values["vocab_size"],
                hidden=hidden,
                layers=values["num_hidden_layers"],
                heads=heads,
                kv_heads=values.get("num_key_value_heads") or heads,
                head_dim=values.get("head_dim") or hidden // heads,
                mlp=values["intermediate_size"],
                max_positions=values.get("max_position_embeddings", 2048),
                causal=values.get("is_causal", True),
                tied=values.get("tie_word_embeddings", False),
                rope_theta=_rope(values).get("rope_theta", 10_000.0),
                norm_eps=values.get("rms_norm_eps", 1e-6),
                bos_id=values.get("bos_token_id"),
                eos_id=_first(values.get("eos_token_id")),
                pad_id=_first(values.get("pad_token_id")) or 0,
                mask_id=values.get("mask_token_id"),
                **extra,
            )
        except KeyError as error:
            raise UserError(
                where, f"has no key {error.args[0]!r}", "give a config.json in the Hugging Face Llama format"
            ) from None
        except TypeError as error:
            raise UserError(
                where, f"has a bad {EXTRA!r} section ({error})", "train the model again"
            ) from None


def _rope(values: dict[str, Any]) -> dict[str, Any]:
    """Rotary settings: transformers 5 nests them, older files hold `rope_theta` at the top."""
    nested = values.get("rope_parameters") or values.get("rope_scaling") or {}
    return {"rope_theta": values["rope_theta"], **nested} if "rope_theta" in values else nested


def _first(ids: int | list[int] | None) -> int | None:
    return ids[0] if isinstance(ids, list) else ids


def _refuse_unsupported(values: dict[str, Any], where: str) -> None:
    kind = values.get("model_type", "llama")
    if kind != "llama":
        raise UserError(where, f"describes a {kind!r} model", "give a model of type 'llama'")
    rope = _rope(values)
    rope_type = rope.get("rope_type") or rope.get("type") or "default"
    if rope_type != "default":
        raise UserError(
            where, f"asks for rotary positions of type {rope_type!r}", "only 'default' is supported"
        )
    for key in ("attention_bias", "mlp_bias"):
        if values.get(key):
            raise UserError(where, f"sets {key}", "only Llama models without biases are supported")
    if values.get("hidden_act", "silu") != "silu":
        raise UserError(where, f"asks for activation {values['hidden_act']!r}", "only 'silu' is supported")
