"""The shape of a backbone: read from a `config.json` of any known format, written in the Hugging Face Llama format."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.models.checkpoints.formats.rotary import Stretch
from pardec.models.registry import FORMATS

if TYPE_CHECKING:
    from pardec.models.checkpoints.formats.base import Format

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
    "grid_right",
    "grid_below",
    "grid_waves",
    "grid_cell",
    "grid_width_at",
    "grid_height_at",
    "grid_zero_id",
    "qkv_bias",
    "qk_norm",
)


@dataclass(frozen=True)
class BackboneConfig:
    """Sizes and flags of one decoder-only transformer.

    prompt_positions and canvas_positions are the rows of two learned position tables (0: no table): the
    first counts from a row's first real token, the second from the first token of the canvas; a position
    past a table's end uses its last row. grid_rows and grid_columns are two more, for a canvas that is a
    table: its token p stands in row p // stride and column p % stride, where the stride is `grid_cell`
    tokens times the number that the prompt holds at its position `grid_width_at` (the token of number n
    being `grid_zero_id` + n). grid_right and grid_below count a row's columns and the table's rows from their
    ends, the number of rows standing in the prompt at `grid_height_at`; grid_waves says whether the tables of
    rows and columns begin as sinusoids. rotary: whether queries and keys are turned by their position. shift: logits
    at i - 1 predict position i of the canvas. family: the objective it was trained with. qkv_bias: biases on
    queries, keys and values. qk_norm: a norm on each head's queries and keys. rope_stretch: scaling of the rotary
    positions. stop_ids: further tokens that end a text, beside `eos_id`, such as the end of a turn.
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
    grid_right: int = 0
    grid_below: int = 0
    grid_waves: bool = False
    grid_cell: int = 2
    grid_width_at: int = 0
    grid_height_at: int = 0
    grid_zero_id: int = 4
    rotary: bool = True
    shift: bool = False
    family: str | None = None
    qkv_bias: bool = False
    qk_norm: bool = False
    rope_stretch: Stretch | None = None
    stop_ids: tuple[int, ...] = ()

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
            "rope_parameters": {**self._stretched(), "rope_theta": self.rope_theta},
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_eps,
            "hidden_act": "silu",
            "attention_bias": False,
            "mlp_bias": False,
            "bos_token_id": self.bos_id,
            "eos_token_id": [self.eos_id, *self.stop_ids] if self.stop_ids else self.eos_id,
            "pad_token_id": self.pad_id,
            "mask_token_id": self.mask_id,
            "dtype": "float32",
            EXTRA: {key: getattr(self, key) for key in EXTRA_KEYS},
        }

    def _stretched(self) -> dict[str, Any]:
        return {"rope_type": "default"} if self.rope_stretch is None else self.rope_stretch.to_json()

    @classmethod
    def from_json(cls, values: dict[str, Any], where: str) -> BackboneConfig:
        """Read config.json, in whichever of the known formats it is.

        Raises:
            UserError: a key is missing, or the model needs something this backbone does not have; names the
            key.
        """
        return format_of(values, where).read(values, where)


def format_of(values: dict[str, Any], where: str) -> type[Format]:
    """The format of a checkpoint by its `model_type`.

    Raises:
        UserError: not one that a backbone can hold; names the nearest.
    """
    kind = values.get("model_type", "llama")
    if kind in FORMATS:
        return FORMATS.load(kind)
    near = difflib.get_close_matches(str(kind), FORMATS, 1)
    hint = f", nearest {near[0]!r}" if near else ""
    known = ", ".join(map(repr, FORMATS))
    raise UserError(where, f"describes a {kind!r} model{hint}", f"give a model of type {known}")
