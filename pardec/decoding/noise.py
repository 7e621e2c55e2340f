"""Random numbers by counter, not by state.

A number is a hash of (seed of the row, stream, position), so a row draws the same numbers in any batch, in
any order, on any device, and no state passes from step to step. The hash is the SplitMix64
generator (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014): position i
of a stream is its i-th output.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING

from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from torch import Tensor

torch = lazy("torch")


def _signed(word: int) -> int:
    """Return the 64-bit `word` as a signed integer, as in torch's int64; products and sums wrap alike in both forms."""
    return word - (1 << 64) if word >> 63 else word


GAMMA = _signed(0x9E3779B97F4A7C15)
FIRST = _signed(0xBF58476D1CE4E5B9)
SECOND = _signed(0x94D049BB133111EB)
BITS = 52
"""One bit fewer than a float64's precision, so that a half can be added: the numbers are never 0 and never 1."""


def _xor_shift(z: Tensor, by: int) -> Tensor:
    # torch shifts a sign in from the left; the mask takes it out again.
    return z.bitwise_xor_((z >> by).bitwise_and_((1 << (64 - by)) - 1))


def _mix(z: Tensor) -> Tensor:
    """Scramble int64 words in place; return them."""
    _xor_shift(z, 30).mul_(FIRST)
    _xor_shift(z, 27).mul_(SECOND)
    return _xor_shift(z, 31)


def _unit(words: Tensor) -> Tensor:
    """Return the top bits of int64 words as float64 strictly between 0 and 1; overwrites the words."""
    words.bitwise_right_shift_(64 - BITS).bitwise_and_((1 << BITS) - 1)
    return words.double().add_(0.5).mul_(2.0**-BITS)


def uniform(seeds: Tensor, stream: int | Tensor, shape: tuple[int, ...] = (), offset: int = 0) -> Tensor:
    """Return uniform numbers strictly between 0 and 1, float64 [B, *shape] on the seeds' device.

    seeds: [B] long. stream: number of the stream, such as a step, or one per row, [B] long; streams of one seed are
    independent. offset: numbers of the stream to skip first. Row b depends on seeds[b], its stream and the position in
    the stream alone.
    """
    begin = _signed((stream * GAMMA) % (1 << 64)) if isinstance(stream, int) else stream * GAMMA
    keys = _mix(_mix(seeds + GAMMA) + begin)
    places = torch.arange(offset + 1, offset + prod(shape) + 1, device=seeds.device).mul_(GAMMA)
    return _unit(_mix(keys[:, None] + places)).view(len(seeds), *shape)


def gumbel(seeds: Tensor, stream: int | Tensor, shape: tuple[int, ...] = (), offset: int = 0) -> Tensor:
    """Return standard Gumbel noise, float64 [B, *shape], always finite (`uniform` excludes 0 and 1): -4 to 37."""
    return uniform(seeds, stream, shape, offset).log_().neg_().log_().neg_()
