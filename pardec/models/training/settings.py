"""The settings of a trained model: its size, its positions, and its optimiser."""

from __future__ import annotations

from pydantic import Field, model_validator

from pardec.common.settings import Settings


class SizeSettings(Settings):
    """The size of a Llama-style transformer."""

    hidden: int = Field(96, ge=8, le=16_384)
    """Width of the residual stream."""
    layers: int = Field(3, ge=1, le=256)
    """Number of layers."""
    heads: int = Field(4, ge=1, le=256)
    """Attention heads."""
    kv_heads: int | None = Field(None, ge=1, le=256)
    """Key-value heads, a divisor of `heads`; null: as many as heads."""
    mlp: int = Field(256, ge=8, le=65_536)
    """Width of the feed-forward layer."""
    max_positions: int = Field(1024, ge=16, le=131_072)
    """Longest sequence that the model accepts, prompt included, in tokens."""
    rope_theta: float = Field(10_000.0, gt=1)
    """Base of the rotary positions."""

    @model_validator(mode="after")
    def _divides(self) -> SizeSettings:
        if self.hidden % (2 * self.heads):
            raise ValueError(
                f"hidden ({self.hidden}) must be an even multiple of heads ({self.heads}): rotary positions turn pairs"
            )
        if self.kv_heads is not None and self.heads % self.kv_heads:
            raise ValueError(f"kv_heads ({self.kv_heads}) must divide heads ({self.heads})")
        return self


class GridPositionSettings(Settings):
    """Learned row and column positions of a canvas that is a table, whose width is in the prompt."""

    rows: int = Field(ge=1, le=4096)
    """Rows of the table of row positions; a canvas row past it uses the last."""
    columns: int = Field(ge=1, le=4096)
    """The same for columns, counted in tokens."""
    width_at: int = Field(4, ge=0)
    """Position in the prompt, from 0 at its first token, of the number of cells per row."""
    cell_tokens: int = Field(2, ge=1)
    """Tokens per cell, its separator included."""
    ends: int = Field(0, ge=0, le=4096)
    """Rows of two further tables: columns counted from the end of a row, and rows from the last; a position
    farther from the end uses the last entry. 0: no such tables."""
    height_at: int = Field(2, ge=0)
    """Position in the prompt of the number of rows, for `ends`."""
    waves: bool = False
    """Whether the tables of rows and columns begin as sinusoids, with similar neighbours, instead of at random."""


class PositionSettings(Settings):
    """Learned positions, added to the token embeddings; without them the model has rotary positions only."""

    rotary: bool = True
    """Whether rotary positions stay beside the learned ones."""
    prompt: int = Field(ge=1, le=65_536)
    """Positions of the prompt, from its first token; later ones share the last."""
    canvas: int = Field(ge=1, le=65_536)
    """Positions of the canvas, from its first token; later ones share the last."""
    grid: GridPositionSettings | None = None
    """Row and column positions beside the plain ones."""


class OptimiserSettings(Settings):
    """Muon on the matrices of the layers, AdamW on the rest; warm-up, constant rate, linear decay to zero."""

    muon_rate: float = Field(0.02, gt=0, le=1)
    """Learning rate of Muon."""
    muon_momentum: float = Field(0.95, ge=0, lt=1)
    """Momentum of Muon."""
    adam_rate: float = Field(0.004, gt=0, le=1)
    """Learning rate of AdamW."""
    adam_betas: tuple[float, float] = (0.9, 0.95)
    """Decay rates of AdamW's two averages."""
    weight_decay: float = Field(0.0, ge=0, le=10)
    """Decoupled weight decay of both, times the learning rate."""
    warmup_steps: int = Field(50, ge=0)
    """Steps over which the rates rise linearly to their full value."""
    hold_share: float = Field(0.4, ge=0, le=1)
    """Share of all steps after which the rates begin to fall linearly to zero."""

    def rate(self, step: int, steps: int) -> float:
        """Return the factor on both learning rates at `step` (from 0) of `steps`."""
        rise = min(1.0, (step + 1) / self.warmup_steps) if self.warmup_steps else 1.0
        fall = (steps - step) / max(steps * (1 - self.hold_share), 1e-9)
        return rise * min(1.0, fall)
