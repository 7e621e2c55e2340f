"""Estimates with intervals.

All functions are deterministic: each call uses one fixed seed, so equal data give equal intervals, and a change of
units only rescales them. Arrays are one-dimensional unless stated otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

SEED = 20260000
RESAMPLES = 4000
LEVEL = 0.95
FEW = 6
"""Fewest values for an interval: below six, no distribution-free interval of a median reaches 95 %."""


@dataclass(frozen=True)
class Estimate:
    """A number, its 95 % interval (None if the data allow none), and the number of values behind it."""

    value: float
    low: float | None
    high: float | None
    n: int


def median(values: ArrayLike) -> Estimate | None:
    """Return the median with a percentile bootstrap interval (scipy.stats.bootstrap); None if empty.

    The percentile method, not BCa: the jackknife behind BCa's acceleration fails for a median. Below 20 values the
    bootstrap's coverage is too low, so the interval is widened to the distribution-free one of order statistics if
    that is wider. Below `FEW` values there is no interval: their range would cover the median with probability 50 % at
    two and 94 % at five.
    """
    x = _finite(values)
    if x.size == 0:
        return None
    middle = float(np.median(x))
    if x.size < FEW:
        return Estimate(middle, None, None, x.size)
    low, high = _bootstrap(x, np.median)
    if x.size < 20:
        rank = int(stats.binom.ppf((1 - LEVEL) / 2, x.size, 0.5))
        ordered = np.sort(x)
        low, high = min(low, float(ordered[rank - 1])), max(high, float(ordered[x.size - rank]))
    return Estimate(middle, low, high, x.size)


def mean(values: ArrayLike) -> Estimate | None:
    """Return the mean with a percentile bootstrap interval (Student's t below ten, none for one); None if empty."""
    x = _finite(values)
    if x.size == 0:
        return None
    middle = float(x.mean())
    if x.size == 1:
        return Estimate(middle, None, None, 1)
    if x.size < 10:
        return _student(middle, x.std(ddof=1) / np.sqrt(x.size), x.size - 1, x.size)
    low, high = _bootstrap(x, np.mean)
    return Estimate(middle, low, high, x.size)


def ratio_of_sums(over: ArrayLike, under: ArrayLike) -> Estimate | None:
    """Return sum of `over` / sum of `under` with a ratio estimator's interval (none for one pair); None if empty.

    The interval is Student's t on the residuals over - ratio · under (Cochran 1977, section 6.4). over, under: [n]
    each, one pair per prompt; a prompt measured twice is one pair of sums.
    """
    x, y = np.asarray(over, dtype=float), np.asarray(under, dtype=float)
    good = np.isfinite(x) & np.isfinite(y)
    x, y, n = x[good], y[good], int(good.sum())
    if n == 0 or y.sum() <= 0:
        return None
    middle = float(x.sum() / y.sum())
    if n == 1:
        return Estimate(middle, None, None, 1)
    spread = np.sqrt(np.sum((x - middle * y) ** 2) / (n - 1) * n) / y.sum()
    return _student(middle, spread, n - 1, n)


def paired_difference(a: ArrayLike, b: ArrayLike, span: float | None = None) -> Estimate | None:
    """Return the mean of a - b over prompts; no interval below `FEW` pairs, None if empty.

    a, b: [P], entry i of both from prompt i; pairs with a missing side are left out. span: largest possible distance
    between a and b, None if unbounded. With a bound, the interval is that of Agresti and Min (2005) for paired
    proportions, half a pair added to each of the four outcomes, with Student's t: it keeps a width even if all pairs
    are equal. Without a bound, it is the interval of `mean`.
    """
    a, b = np.asarray(a, float), np.asarray(b, float)
    if a.shape != b.shape:
        raise ValueError(f"paired series differ in length: {a.size} and {b.size}")
    d = _finite(a - b)
    if d.size < FEW:
        return Estimate(float(d.mean()), None, None, d.size) if d.size else None
    if span is None:
        return mean(d)
    n, value = d.size + 2, float(d.mean())
    centre = d.sum() / n
    spread = np.sqrt(max((np.sum(d**2) + span**2) / n - centre**2, 0.0) / n)
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, d.size - 1) * spread)
    return Estimate(
        value, min(value, max(centre - reach, -span)), max(value, min(centre + reach, span)), d.size
    )


def among(estimate: Estimate, candidates: int) -> Estimate:
    """Return an estimate, chosen as the largest of `candidates`, with its interval widened for the choice.

    Each candidate's interval gets level 1 - 0.05 / candidates (Bonferroni), so that all cover at once with 95 %. The
    interval widens in proportion to normal quantiles, on logarithms if it is positive.
    """
    if estimate.low is None or estimate.high is None or candidates < 2:
        return estimate
    tail = (1 - LEVEL) / 2
    factor = float(stats.norm.isf(tail / candidates) / stats.norm.isf(tail))
    if estimate.low <= 0:
        low, high = (
            estimate.value + factor * (end - estimate.value) for end in (estimate.low, estimate.high)
        )
        return Estimate(estimate.value, low, high, estimate.n)
    low = estimate.value * (estimate.low / estimate.value) ** factor
    high = estimate.value * (estimate.high / estimate.value) ** factor
    return Estimate(estimate.value, low, high, estimate.n)


def ratio_of_medians(
    over: ArrayLike, under: ArrayLike, prompts: Sequence[Hashable], blocks: Sequence[Hashable]
) -> Estimate | None:
    """Return median(over) / median(under) of paired samples, with a bootstrap over prompts and blocks; None if empty.

    over, under: [n], entry i of both from the same prompts in the same block. prompts, blocks: [n] keys. Pairs are
    never split and tokens are never resampled. In a crossed design (blocks contain several prompts, and prompts recur),
    prompts and blocks are resampled independently, and a pair's weight is the product of both counts. If each block has
    one prompt, prompts are drawn first, then blocks within them. Fewer than `FEW` pairs have no interval. n counts
    pairs.
    """
    x, y = np.asarray(over, float), np.asarray(under, float)
    good = np.isfinite(x) & np.isfinite(y)
    p, b = _codes(prompts, good), _codes(blocks, good)
    x, y = x[good], y[good]
    if x.size == 0:
        return None
    value = float(np.median(x) / np.median(y))
    if x.size < FEW:
        return Estimate(value, None, None, x.size)
    weights = _pair_weights(p, b, np.random.default_rng(SEED))
    draws = _weighted_medians(x, weights) / _weighted_medians(y, weights)
    low, high = np.percentile(draws, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Estimate(value, float(low), float(high), x.size)


def between(values: ArrayLike) -> Estimate | None:
    """Return the geometric mean of positive numbers, each from a separate process, e.g. its median; None if empty.

    The interval is Student's t on logarithms, so it reflects the scatter between processes. Below three numbers there
    is none.
    """
    logs = np.log(_finite(values))
    if logs.size == 0:
        return None
    n, middle = logs.size, float(logs.mean())
    if n < 3:
        return Estimate(float(np.exp(middle)), None, None, n)
    of = _student(middle, logs.std(ddof=1) / np.sqrt(n), n - 1, n)
    value, low, high = (float(np.exp(number)) for number in (of.value, of.low, of.high))
    return Estimate(value, low, high, n)


def wilson(successes: int, n: int) -> Estimate:
    """Return a proportion with its Wilson score interval (Wilson 1927), valid at 0 and 1 too."""
    if not 0 <= successes <= n or n == 0:
        raise ValueError(f"{successes} successes of {n}")
    interval = stats.binomtest(successes, n).proportion_ci(LEVEL, method="wilson")
    return Estimate(successes / n, float(interval.low), float(interval.high), n)


def percentile(values: ArrayLike, q: float) -> float | None:
    """Return the q-th percentile; None below 1 / (1 - q/100) values, where none is expected above it."""
    x = _finite(values)
    if x.size == 0 or x.size * (100 - min(q, 99.999)) < 100 * (q > 50):
        return None
    return float(np.percentile(x, q))


def loglog_slope(x: ArrayLike, y: ArrayLike) -> Estimate | None:
    """Return exponent e of y ~ x^e by least squares of log y on log x; Student's t interval from three points on.

    x, y: [n] positive. None where fewer than two distinct x remain.
    """
    x, y = np.asarray(x, float), np.asarray(y, float)
    good = np.isfinite(x) & np.isfinite(y) & (x > 0) & (y > 0)
    return linear_slope(np.log(x[good]), np.log(y[good]))


@dataclass(frozen=True)
class Growth:
    """A power law y ~ x^e over points of known precision.

    exponent: over all points. local: between neighbouring points. misfit: largest relative distance of a point from
    the power law; if it far exceeds the points' precision, no single exponent describes them.
    """

    exponent: Estimate
    local: tuple[Estimate, ...]
    misfit: float


def power_law(x: ArrayLike, y: ArrayLike, low: ArrayLike, high: ArrayLike) -> Growth | None:
    """Return exponents with intervals propagated from the points'; None for fewer than two distinct x.

    x, y: [n] positive, x ascending. low, high: [n] ends of y's 95 % intervals, missing where y was counted, not
    measured. An exponent is a weighted sum of the logarithms of y; their errors are independent, since each point is a
    separate process. A standard error is the half-width of an interval on logarithms over its normal quantile. If no
    point has an interval, local exponents have none and the overall one uses its residuals.
    """
    points = np.asarray([x, y, low, high], float)
    points = points[:, (np.isfinite(points[:2]) & (points[:2] > 0)).all(0)]
    if np.unique(points[0]).size < 2:
        return None
    with np.errstate(divide="ignore", invalid="ignore"):
        at, of, bottom, top = np.log(points)
        reach = (top - bottom) / 2
    reach[~np.isfinite(reach)] = np.nan
    fit = linear_slope(at, of)
    centred = at - at.mean()
    misfit = float(np.expm1(np.abs(of - of.mean() - fit.value * centred).max()))
    if np.isfinite(reach).any():
        whole = float(np.sqrt(np.nansum((centred / np.sum(centred**2) * reach) ** 2)))
        fit = Estimate(fit.value, fit.value - whole, fit.value + whole, fit.n)
    slopes, reaches = np.diff(of) / np.diff(at), np.hypot(reach[1:], reach[:-1]) / np.diff(at)
    ends = ((s - r, s + r) if np.isfinite(r) else (None, None) for s, r in zip(slopes, reaches, strict=True))
    return Growth(
        fit, tuple(Estimate(float(s), *end, 2) for s, end in zip(slopes, ends, strict=True)), misfit
    )


def linear_slope(x: ArrayLike, y: ArrayLike) -> Estimate | None:
    """Return the slope of y on x by least squares, with an intercept; Student's t interval from three points on.

    x, y: [n]. None where fewer than two distinct x remain.
    """
    points = np.asarray([x, y], float)
    at, of = points[:, np.isfinite(points).all(0)]
    if np.unique(at).size < 2:
        return None
    fit = stats.linregress(at, of)
    if at.size < 3:
        return Estimate(float(fit.slope), None, None, at.size)
    residuals = of - fit.intercept - fit.slope * at
    error = np.sqrt(np.sum(residuals**2) / (at.size - 2) / np.sum((at - at.mean()) ** 2))
    return _student(float(fit.slope), error, at.size - 2, at.size)


def holm(p_values: ArrayLike) -> NDArray[np.float64]:
    """Return p-values adjusted by Holm's step-down method (Holm 1979), in the order given. [n] -> [n]."""
    p = np.asarray(p_values, float)
    if p.size and not (np.all(p >= 0) and np.all(p <= 1)):
        raise ValueError("p-values lie between 0 and 1")
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate(p[order] * (p.size - np.arange(p.size)))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(stepped, 1.0)
    return adjusted


def _finite(values: ArrayLike) -> NDArray[np.float64]:
    x = np.asarray(values, float)
    return x[np.isfinite(x)]


def _student(value: float, error: float, freedom: int, n: int) -> Estimate:
    """Return a value with the interval of Student's t. error: its standard error."""
    reach = float(stats.t.ppf(0.5 + LEVEL / 2, freedom) * error)
    return Estimate(value, value - reach, value + reach, n)


def _bootstrap(x: NDArray, statistic: Callable[..., Any]) -> tuple[float, float]:
    if np.all(x == x[0]):
        return float(x[0]), float(x[0])
    result = stats.bootstrap(
        (x,),
        statistic,
        n_resamples=RESAMPLES,
        confidence_level=LEVEL,
        method="percentile",
        rng=np.random.default_rng(SEED),
    )
    return float(result.confidence_interval.low), float(result.confidence_interval.high)


def _codes(keys: Sequence[Hashable], good: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Return the keys of kept pairs as 0, 1, 2 ... in order of appearance."""
    if len(keys) != good.size:
        raise ValueError(f"{good.size} pairs but {len(keys)} keys")
    seen: dict[Hashable, int] = {}
    kept = [key for key, keep in zip(keys, good, strict=True) if keep]
    return np.array([seen.setdefault(key, len(seen)) for key in kept], dtype=np.int64)


def _pair_weights(p: NDArray, b: NDArray, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the weight of each pair in each resample. p, b: [n] codes -> [R, n]."""
    prompt_count, block_count = p.max() + 1, b.max() + 1
    block_holds_several = np.unique(np.stack([p, b]), axis=1).shape[1] > block_count
    prompts_recur = prompt_count < p.size
    if prompt_count == 1 or block_count == 1 or not (block_holds_several or prompts_recur):
        return rng.multinomial(p.size, np.full(p.size, 1 / p.size), RESAMPLES)
    drawn = rng.multinomial(prompt_count, np.full(prompt_count, 1 / prompt_count), RESAMPLES)
    if block_holds_several:
        blocks = rng.multinomial(block_count, np.full(block_count, 1 / block_count), RESAMPLES)
        weights = drawn[:, p] * blocks[:, b]
        return weights[weights.sum(axis=1) > 0]
    weights = np.zeros((RESAMPLES, p.size), dtype=np.int64)
    for prompt in range(prompt_count):
        of_prompt = np.flatnonzero(p == prompt)
        # A prompt drawn k times contributes k times as many draws among its own blocks.
        weights[:, of_prompt] = rng.multinomial(
            drawn[:, prompt] * of_prompt.size, np.full(of_prompt.size, 1 / of_prompt.size)
        )
    return weights


def _weighted_medians(x: NDArray, weights: NDArray) -> NDArray[np.float64]:
    """Return the median of x with each entry repeated by its weight. x: [n], weights: [R, n] -> [R]."""
    order = np.argsort(x, kind="stable")
    ordered, reached = x[order], np.cumsum(weights[:, order], axis=1)
    total = reached[:, -1]
    lower = (reached >= ((total + 1) // 2)[:, None]).argmax(axis=1)
    upper = (reached >= (total // 2 + 1)[:, None]).argmax(axis=1)
    return (ordered[lower] + ordered[upper]) / 2
