"""What a study may set about timing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.settings import Settings


class MeasureSettings(Settings):
    warmup_passes: int = Field(3, ge=1, le=50)
    """Generations at the measured shape before the first sample; three to five settle allocators and caches."""
    warmup_s: float | None = Field(None, gt=0)
    """An arm's warm-up ends early once it has taken this many seconds, after one generation at least. For a CPU, where
    what is slow at first is over within one long generation; null where the first one loads kernels or compiles."""
    min_samples: int = Field(6, ge=5)
    """Fewest samples of a cell; six is the least that gives the median a distribution-free 95 % interval."""
    max_samples: int = Field(60, ge=5)
    """Most samples of a cell."""
    target_half_width: float = Field(0.05, gt=0, lt=1)
    """Sampling stops once the 95 % interval of the median latency is within this share of the median."""
    budget_s: float = Field(2.0, gt=0)
    """Sampling stops once it has taken this many seconds, if the minimum is reached; the record says which it was."""
    timeout_s: float = Field(120.0, gt=0)
    """A cell that takes longer is ended and recorded as a result of its own (`status: timeout`)."""
    prompts: int = Field(24, ge=1)
    """Held-out prompts that timed generations walk through."""
    energy_s: float = Field(3.0, ge=0)
    """Seconds of idleness and of work over which a GPU's energy counter is read, after the samples; below two seconds
    the result is marked not valid; 0 leaves it out."""
    largest_batch: int | None = Field(None, ge=1)
    """On a GPU: find the largest batch that fits its memory, up to this one, by doubling and bisection, before the
    reference is loaded. null leaves it out."""
    isolation: Literal["auto", "forked", "fresh"] = "auto"
    """How a cell's process starts: `forked` from a helper that has torch loaded, or `fresh`; the numbers are the same.
    `auto` forks on a CPU, where imports take most of a job, and not on CUDA, whose driver no fork survives."""
