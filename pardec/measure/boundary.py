"""The largest batch that fits a device's memory, found by doubling and then by bisection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def largest_batch(fits: Callable[[int], bool], start: int, limit: int) -> dict[str, Any]:
    """Return the largest batch size n that fits, such that n + 1 does not.

    fits: tries a batch size. start: the first size. limit: the largest size to try. Returns `fits`, the largest size
    that fits (0 for none); `fails`, the smallest that does not (null if `limit` fits); and `tried`, in order.
    """
    tried: dict[int, bool] = {}

    def trial(size: int) -> bool:
        if size not in tried:
            tried[size] = fits(size)
        return tried[size]

    low, high, size = 0, None, max(1, min(start, limit))
    while high is None and size <= limit:
        if trial(size):
            low, size = size, limit if low < limit < 2 * size and size < limit else 2 * size
        else:
            high = size
    while high is not None and high - low > 1:
        middle = (low + high) // 2
        if trial(middle):
            low = middle
        else:
            high = middle
    return {"fits": low, "fails": high, "tried": list(tried)}


def tries(
    run: Callable[[int], Any], out_of_memory: Callable[[Exception], bool], free: Callable[[], None]
) -> Callable[[int], bool]:
    """Return a function `fits` that calls `run` with a batch size and returns whether memory sufficed; other errors
    are raised.

    free: releases cached memory, so that fragments of one try do not fail the next.
    """

    def fits(size: int) -> bool:
        try:
            run(size)
        except Exception as error:
            if not out_of_memory(error):
                raise
            return False
        finally:
            free()
        return True

    return fits
