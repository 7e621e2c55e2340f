"""Weights of a GGUF file, by the names of a Hugging Face checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.models.gguf.reader import GGUF

if TYPE_CHECKING:
    import numpy as np

OUTER = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
}
INNER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
NAME = re.compile(r"^(?:blk\.(\d+)\.)?([a-z_]+)\.(weight|bias)$")
PAIRED = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
"""Matrices whose rows llama.cpp's converter reorders in Llama files: it rotates neighbouring pairs of a head, while
Hugging Face's Llama rotates the two halves."""


def weights_of(file: GGUF, config: dict[str, Any]) -> Iterator[tuple[str, np.ndarray]]:
    """Yield each weight with its name, one at a time.

    Raises:
        UserError: a weight of a name that these models do not have, or one that cannot be dequantised.
    """
    for name in file.tensors:
        match = NAME.match(name)
        layer, part, kind = match.groups() if match else (None, "", "")
        known = INNER.get(part) if layer is not None else OUTER.get(part)
        if known is None:
            what = f"contains weight {name!r}, which a {file.architecture} model here does not have"
            raise UserError(file.path, what, "give a plain, dense model of this architecture")
        weight = file.weight(name)
        if file.architecture == "llama" and part in PAIRED:
            weight = halves(weight, config[PAIRED[part]])
        yield f"{'' if layer is None else f'model.layers.{layer}.'}{known}.{kind}", weight


def halves(weight: np.ndarray, heads: int) -> np.ndarray:
    """Return the rows of each head in two halves, from pairs of neighbours.

    weight: (heads · width, ...); row 2i + j of a head becomes its row j · width/2 + i.
    """
    rows, *rest = weight.shape
    pairs = weight.reshape(heads, rows // heads // 2, 2, *rest)
    return pairs.swapaxes(1, 2).reshape(weight.shape)
