"""SDAR, dense (Cheng et al. 2025, arXiv:2510.06303): a Qwen3 that fills blocks, its prompt being blocks too; logits
predict their own position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, reading, refuse
from pardec.models.checkpoints.formats.blocks import in_blocks

if TYPE_CHECKING:
    from pardec.models.architectures.block_prompts import BlockPromptConfig

MASK, BLOCK = 151_669, 4
"""The mask token and the tokens of a block of the published models, for a config.json that does not name them."""


class Sdar(Format):
    """`sdar`: Qwen3's keys and `block_size`, the tokens of a block."""

    @reading
    def read(cls, values: Values, where: str) -> BlockPromptConfig:
        plain = {
            "use_sliding_window": (False, None),
            "attention_bias": (False, None),
            "hidden_act": ("silu",),
        }
        refuse(values, where, plain)
        stated = {"head_dim": 128, "mask_token_id": MASK, **values}
        return in_blocks(stated, where, "block_size", BLOCK, qk_norm=True)
