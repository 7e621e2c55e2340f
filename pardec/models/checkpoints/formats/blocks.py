"""What the formats of block-diffusion models share whose prompt is blocks too."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.models.architectures.block_prompts import BlockPromptConfig
from pardec.models.architectures.config import BLOCKWISE
from pardec.models.checkpoints.formats.base import FIX, Values
from pardec.models.checkpoints.formats.llama import backbone


def in_blocks(values: Values, where: str, key: str, default: int, **changes: Any) -> BlockPromptConfig:
    """Return the shape that config.json describes. key, default: where it gives the tokens of a block, and their
    number where it does not. changes: fields that the format fixes.

    Raises:
        UserError: a block that is not a number above 0.
    """
    block = values.get(key)
    block = default if block is None else block
    if type(block) is not int or block < 1:
        raise UserError(where, f"gives {block!r} as {key}, which must be a number above 0", FIX)
    if values.get("mask_token_id") is None:
        raise UserError(where, "gives no mask_token_id, which a block-diffusion model needs", FIX)
    config = backbone(values, where, causal=True, family=BLOCKWISE, **changes)
    return BlockPromptConfig(**vars(config), prompt_block=block)
