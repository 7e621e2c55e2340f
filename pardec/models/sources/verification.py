"""What a study may ask of a model before it is profiled: its authors' own generations, and a score they published."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from pardec.common.settings import Settings


class GenerationSettings(Settings):
    """How text is generated for a check."""

    decoder: str
    """The decoder that the authors used."""
    settings: dict[str, Any] = Field(default_factory=dict)
    """Its settings."""
    new_tokens: int = Field(gt=0)
    """Length of the output."""
    chat: bool = False
    """Whether prompts go through the checkpoint's chat template."""


class ExampleCheck(GenerationSettings):
    """One generation that the authors published."""

    prompt: str
    """What they asked."""
    expected: str = Field(min_length=1)
    """Their output, or the part of it that precision does not touch, which ours must hold in whole words. A number is
    compared with the one that our output gives as its answer."""


class ScoreCheck(GenerationSettings):
    """A published score of mathematical word problems, on a sample of them. An answer is right if its last number is
    that of the reference (in GSM8K, Cobbe et al. 2021, the text after ####)."""

    data: str
    """The dataset: question and answer of each record."""
    prompts: int = Field(64, ge=8)
    """Questions of the sample."""
    shots: int = Field(0, ge=0)
    """Solved questions before each, from the dataset's training side."""
    score: float = Field(ge=0, le=1)
    """The share of right answers that was published."""
    margin: float = Field(0.05, ge=0, le=1)
    """How far outside the sample's 99 % interval that share may lie: prompts and harness are not the authors' own."""


class VerifySettings(Settings):
    """Checks that a model must pass before any cell runs it."""

    examples: list[ExampleCheck] = []
    """Generations that the authors published."""
    sample: ScoreCheck | None = None
    """A score that they published."""

    @model_validator(mode="after")
    def _asks_something(self) -> VerifySettings:
        if not self.examples and self.sample is None:
            raise ValueError("asks nothing; give examples or a sample, or leave verify out")
        return self
