"""Qwen2 and Qwen2.5: Llama with biases on queries, keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, reading, refuse
from pardec.models.checkpoints.formats.llama import backbone

if TYPE_CHECKING:
    from pardec.models.architectures.config import BackboneConfig


class Qwen2(Format):
    """`qwen2`: Llama's keys, with biases on queries, keys and values."""

    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        refuse(values, where, {"use_sliding_window": (False, None), "hidden_act": ("silu",)})
        return backbone(values, where, qkv_bias=True)
