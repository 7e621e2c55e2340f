"""The largest batch that fits a device's memory, found by doubling and then by bisection."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def largest_batch(fits: Callable[[int], bool], start: int, limit: int) -> dict[str, Any]:
    """Find n where n rows fit and n + 1 do not.

    fits: tries a batch. start: a batch to begin with. limit: the largest to try. Returns `fits`, the largest batch that
    did (0: not even one); `fails`, the smallest that did not (null where `limit` itself fits); and `tried`, in order.
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


def tries(run: Callable[[int], Any], out_of_memory: Callable[[Exception], bool], free: Callable[[], None]):
    """Return a `fits` that generates: `run` a batch, and tell an exhausted memory from any other fault, which is
    raised.

    free: gives cached memory back, so that fragments of one try do not fail the next.
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
