"""95 % intervals of scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import stats

LEVEL = 0.95
RESAMPLES = 2000


def wilson(successes: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """Return Wilson's score interval of a proportion (Wilson 1927), which stays within 0..1 and is valid near both."""
    interval = stats.binomtest(successes, trials).proportion_ci(level, method="wilson")
    return float(interval.low), float(interval.high)


def bootstrap_mean(values: Sequence[float], seed: int) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile bootstrap interval of a mean; (None, None) for a single value."""
    return bootstrap_ratio(values, [1.0] * len(values), seed)


def bootstrap_ratio(
    tops: Sequence[float], bottoms: Sequence[float], seed: int
) -> tuple[float, float] | tuple[None, None]:
    """Return the percentile bootstrap interval of sum(tops) / sum(bottoms), pairs resampled together.

    tops, bottoms: one number per prompt, such as nats and tokens.
    """
    if len(tops) < 2:
        return None, None
    result = stats.bootstrap(
        (np.asarray(tops, dtype=float), np.asarray(bottoms, dtype=float)),
        lambda top, bottom, axis: top.sum(axis) / bottom.sum(axis),
        paired=True,
        vectorized=True,
        method="percentile",
        confidence_level=LEVEL,
        n_resamples=RESAMPLES,
        rng=np.random.default_rng(seed),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)
