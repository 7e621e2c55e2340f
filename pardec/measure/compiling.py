"""Compilation and capture apart from samples: passes before the warm-up, counted graphs, and none while timing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from pardec.measure.clock import HostClock, timed

LEAST = 3
"""Passes that one graph wants before it replays: compile, record, replay."""
MOST = 24
"""Passes after which a decoder that still meets new shapes is given up."""


class Recompiled(RuntimeError):
    """A graph was compiled while samples were taken."""


def graphs() -> int:
    """Return the number of graphs compiled by this process so far; 0 if the compiler was never loaded."""
    dynamo = sys.modules.get("torch._dynamo")
    return 0 if dynamo is None else int(dynamo.utils.counters["stats"]["unique_graphs"])


def refused(error: BaseException) -> bool:
    """Return whether the compiler reports code or shapes as unsupported, as opposed to any other fault."""
    kinds = ("Unsupported", "FailOnRecompileLimitHit", "RecompileLimitExceeded")
    return type(error).__module__.startswith("torch._dynamo") and type(error).__name__ in kinds


def settle(
    clock: HostClock,
    run: Callable[[Any, Any], Any],
    prompts: Callable[[int], Any],
    count: Callable[[], int] = graphs,
) -> dict[str, Any]:
    """Generate until a generation compiles nothing more, and return the cost of compilation.

    run: the function that a sample runs. prompts: block number -> prompt indices. count: returns the graphs so far.
    Returns `ms`, host milliseconds in excess of as many settled generations; `graphs` compiled; and `passes`.

    Raises:
        NotImplementedError: every one of many generations met a new shape.
    """
    begin, spent = count(), []
    for number in range(MOST):
        before = count()
        facts, _ = timed(clock, partial(run, prompts(number)))
        spent.append(facts["host_ms"])
        if len(spent) >= LEAST and count() == before:
            made = count() - begin
            return {
                # If the other arm compiled the same graphs already, this one waits for nothing; the rest is noise.
                "ms": max(0.0, sum(spent) - len(spent) * spent[-1]) if made else 0.0,
                "graphs": made,
                "passes": len(spent),
            }
    raise NotImplementedError(
        f"engine compiled: pass {MOST} still met a new shape, so its graphs never settle"
    )


@contextmanager
def nothing_compiled(engine: str, count: Callable[[], int] = graphs) -> Iterator[None]:
    """Check that nothing is compiled inside the block.

    Raises:
        Recompiled: a graph was compiled, so the timed generations are not samples of the engine.
    """
    before = count()
    yield
    if engine == "compiled" and count() != before:
        raise Recompiled(f"{count() - before} graphs were compiled while samples were taken")
