"""Fast-dLLM v2 (Wu et al. 2025, arXiv:2509.26328): a Qwen2.5 that fills blocks, its prompt being blocks too; logits
predict the next position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, reading, refuse
from pardec.models.checkpoints.formats.blocks import in_blocks

if TYPE_CHECKING:
    from pardec.models.architectures.block_prompts import BlockPromptConfig

MASK, BLOCK = 151_665, 32
"""The mask token and the tokens of a block of the published models, for a config.json that does not name them."""


class FastDllm(Format):
    """`Fast_dLLM_Qwen`: Qwen2's keys and `bd_size`, the tokens of a block."""

    @reading
    def read(cls, values: Values, where: str) -> BlockPromptConfig:
        refuse(values, where, {"use_sliding_window": (False, None), "hidden_act": ("silu",)})
        stated = {"mask_token_id": MASK, **values}
        return in_blocks(stated, where, "bd_size", BLOCK, shift=True, qkv_bias=True)
