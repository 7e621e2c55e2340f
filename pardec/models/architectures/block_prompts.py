"""Block-diffusion models whose prompt is blocks too: a token sees the whole of its block and all blocks before it,
counted from the first token of the text (Fast-dLLM v2, arXiv:2509.26328; SDAR, arXiv:2510.06303). Imports no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from pardec.models.architectures.config import BackboneConfig, ModelInfo


@dataclass(frozen=True)
class BlockPromptInfo(ModelInfo):
    """Facts of such a model."""

    prompt_block: int = 1
    """Tokens of the blocks that it was trained with."""


@dataclass(frozen=True)
class BlockPromptConfig(BackboneConfig):
    """Sizes and flags of such a model. prompt_block: tokens of the blocks that it was trained with."""

    prompt_block: int = 1

    def info(self) -> BlockPromptInfo:
        return BlockPromptInfo(**vars(super().info()), prompt_block=self.prompt_block)


def prompt_block(info: ModelInfo) -> int | None:
    """Return the tokens of a block where a model's prompt is blocks too; None where the prompt is causal."""
    return info.prompt_block if isinstance(info, BlockPromptInfo) else None
