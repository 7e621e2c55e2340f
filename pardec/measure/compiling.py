"""Compilation and capture apart from samples: passes before the warm-up, counted graphs, and none while timing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pardec.measure.clock import HostClock, timed

LEAST = 3
"""Passes that one graph wants before it replays: compile, record, replay."""
MOST = 24
"""Passes after which a decoder that still meets new shapes is given up."""


class Recompiled(RuntimeError):
    """Something was compiled while samples were taken."""


def graphs() -> int:
    """Return the graphs compiled by this process so far; none where the compiler was never loaded."""
    dynamo = sys.modules.get("torch._dynamo")
    return 0 if dynamo is None else int(dynamo.utils.counters["stats"]["unique_graphs"])


def refused(error: BaseException) -> bool:
    """Return whether the compiler says that code or shapes are beyond it: unsupported, rather than a fault."""
    kinds = ("Unsupported", "FailOnRecompileLimitHit", "RecompileLimitExceeded")
    return type(error).__module__.startswith("torch._dynamo") and type(error).__name__ in kinds


def settle(
    clock: HostClock,
    run: Callable[[Any, Any], Any],
    prompts: Callable[[int], Any],
    count: Callable[[], int] = graphs,
) -> dict[str, Any]:
    """Generate until a pass compiles nothing more.

    run: what a sample runs. prompts: block number -> prompt indices. count: graphs so far. Returns `ms`, host
    milliseconds beyond what as many settled passes take; `graphs` compiled; and `passes`.

    Raises:
        NotImplementedError: every pass of many met a new shape.
    """
    begin, spent = count(), []
    for number in range(MOST):
        before = count()
        facts, _ = timed(clock, lambda watch, number=number: run(prompts(number), watch))
        spent.append(facts["host_ms"])
        if len(spent) >= LEAST and count() == before:
            made = count() - begin
            return {
                # An arm whose graphs another one compiled before it waits for nothing: what differs then is noise.
                "ms": max(0.0, sum(spent) - len(spent) * spent[-1]) if made else 0.0,
                "graphs": made,
                "passes": len(spent),
            }
    raise NotImplementedError(
        f"engine compiled: pass {MOST} still met a new shape, so its graphs never settle"
    )


@contextmanager
def nothing_compiled(engine: str, count: Callable[[], int] = graphs) -> Iterator[None]:
    """Nothing is compiled inside.

    Raises:
        Recompiled: something was, so what was timed is no sample of the engine.
    """
    before = count()
    yield
    if engine == "compiled" and count() != before:
        raise Recompiled(f"{count() - before} graphs were compiled while samples were taken")
