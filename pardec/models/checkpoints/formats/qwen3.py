"""Qwen3 (dense): Llama with a norm on each head's queries and keys, before rotation."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, reading, refuse
from pardec.models.checkpoints.formats.llama import backbone

if TYPE_CHECKING:
    from pardec.models.architectures.config import BackboneConfig


class Qwen3(Format):
    """`qwen3`: Llama's keys, with a norm on each head's queries and keys."""

    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        plain = {
            "use_sliding_window": (False, None),
            "attention_bias": (False, None),
            "hidden_act": ("silu",),
        }
        refuse(values, where, plain)
        return backbone({"head_dim": 128, **values}, where, qk_norm=True)
