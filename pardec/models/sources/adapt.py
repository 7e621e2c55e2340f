"""A causal model adapted to block diffusion by low-rank adapters, on its own outputs."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.settings import Settings
from pardec.models.training.objectives.block_diffusion import BlockDiffusionSettings


class AdaptSettings(Settings):
    """Another model of the study, adapted to block diffusion: its weights plus trained low-rank matrices."""

    source: Literal["adapt"]
    """Where the model comes from."""
    base: str = Field(min_length=1)
    """The causal model of the study whose weights it keeps."""
    data: str = Field(min_length=1)
    """The data set whose training prompts the base answers; it learns these answers. Its tokenizer names the mask."""
    objective: BlockDiffusionSettings
    """What it is trained to predict. `shift` and `complementary` are those of Fast-dLLM v2."""
    rank: int = Field(8, ge=1, le=1024)
    """Rank of each adapter: a matrix [out, in] gains the product of [out, rank] and [rank, in]."""
    scale: float = Field(2.0, gt=0, le=1024)
    """Factor on that product."""
    sequences: int = Field(1200, ge=1, le=10_000_000)
    """Answers of the base that it learns from, at most one per training prompt."""
    new_tokens: int = Field(64, ge=2, le=65_536)
    """Most tokens of an answer."""
    steps: int = Field(250, ge=1, le=10_000_000)
    """Optimiser steps."""
    batch: int = Field(8, ge=1, le=65_536)
    """Answers a step."""
    rate: float = Field(0.001, gt=0, le=1)
    """Learning rate of AdamW, after a linear rise over `warmup_steps` and before a linear fall to zero."""
    warmup_steps: int = Field(20, ge=0)
    """Steps over which the rate rises."""
    threads: int = Field(1, ge=1, le=1024)
    """Processor threads; the same number gives the same weights on the same machine."""

    @property
    def family(self) -> str:
        """The name of its family."""
        return self.objective.family
