"""Dream-7B (Ye et al. 2025, arXiv:2508.15487): a bidirectional Qwen2 whose logits predict the next position."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pardec.models.checkpoints.formats.base import Format, Values, reading, refuse
from pardec.models.checkpoints.formats.llama import backbone

if TYPE_CHECKING:
    from pardec.models.architectures.config import BackboneConfig


class Dream(Format):
    """Dream's config.json: a bidirectional Qwen2 whose logits predict the next position."""

    @reading
    def read(cls, values: Values, where: str) -> BackboneConfig:
        refuse(values, where, {"use_sliding_window": (False, None), "hidden_act": ("silu",)})
        kind = {"causal": False, "shift": True, "family": "masked_diffusion", "qkv_bias": True}
        return backbone(values, where, mask_id=values["mask_token_id"], **kind)
