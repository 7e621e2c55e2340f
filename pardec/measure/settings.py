"""The settings of a study about timing."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.settings import Settings


class MeasureSettings(Settings):
    """How cells are warmed up and sampled, and when sampling stops."""

    warmup_passes: int = Field(3, ge=1, le=50)
    """Generations at the measured shape before the first sample; three to five settle allocators and caches."""
    warmup_s: float | None = Field(None, gt=0)
    """An arm's warm-up ends early once it has taken this many seconds, after at least one generation. For a CPU, where
    one long generation is enough warm-up; null if the first generations load kernels or compile."""
    min_samples: int = Field(6, ge=5)
    """Fewest samples of a cell; six is the least that gives the median a distribution-free 95 % interval."""
    max_samples: int = Field(60, ge=5)
    """Most samples of a cell."""
    target_half_width: float = Field(0.05, gt=0, lt=1)
    """Sampling stops once the 95 % interval of the median latency is within this share of the median."""
    budget_s: float = Field(2.0, gt=0)
    """Sampling stops once it has taken this many seconds, if the minimum is reached; the record names the reason."""
    timeout_s: float = Field(120.0, gt=0)
    """Seconds after which a cell is ended and recorded as a result (`status: timeout`)."""
    prompts: int = Field(24, ge=1)
    """Number of held-out prompts for timed generations."""
    energy_s: float = Field(3.0, ge=0)
    """Seconds of idle time and of work over which a GPU's energy counter is read, after the samples; below two seconds
    the result is marked not valid; 0 leaves it out."""
    largest_batch: int | None = Field(None, ge=1)
    """On a GPU: find the largest batch that fits its memory, up to this one, by doubling and bisection, before the
    reference is loaded. null leaves it out."""
    isolation: Literal["auto", "forked", "fresh"] = "auto"
    """Start of a cell's process: `forked` from a helper process with torch loaded, or `fresh`; numbers are the same.
    `auto` forks on a CPU, where imports take most of a job, and not on CUDA, whose driver does not survive a fork."""
