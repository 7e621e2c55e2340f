"""Compilation and capture apart from samples: passes before the warm-up, counted graphs, and none while timing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from pardec.measure.clock import HostClock, timed

LEAST = 3
"""Passes that one graph wants before it replays: compile, record, replay."""
MOST = 24
"""Passes after which a decoder that still meets new shapes is given up."""


class Graphs(NamedTuple):
    """Counts of this process: graphs compiled, CUDA graphs recorded, and the times that CUDA graphs were skipped."""

    compiled: int
    recorded: int = 0
    skipped: int = 0


class Unused(NotImplementedError):
    """A compiled arm did not run on graphs alone, so its samples are not those of the engine."""


def graphs() -> int:
    """Return the number of graphs compiled by this process so far; 0 if the compiler was never loaded."""
    return counted().compiled


def counted() -> Graphs:
    """Return the counts of this process so far; zeros if the compiler was never loaded."""
    dynamo = sys.modules.get("torch._dynamo")
    if dynamo is None:
        return Graphs(0)
    counters = dynamo.utils.counters
    return Graphs(
        int(counters["stats"]["unique_graphs"]), _recorded(), int(counters["inductor"]["cudagraph_skips"])
    )


def _recorded() -> int:
    """Return the number of CUDA graphs recorded on all devices by this thread, which is the one that decodes."""
    trees = sys.modules.get("torch._inductor.cudagraph_trees")
    if trees is None:
        return 0
    containers = trees.get_obj(trees.local, "tree_manager_containers").values()
    managers = [container.tree_manager for container in containers if container.tree_manager is not None]
    # The manager numbers its recordings by `itertools.count`, whose text, "count(3)", is the way to read it unmoved.
    return sum(int(repr(manager.graph_counter)[6:-1]) for manager in managers)


def refused(error: BaseException) -> bool:
    """Return whether the compiler reports code or shapes as unsupported, as opposed to any other fault."""
    kinds = ("Unsupported", "FailOnRecompileLimitHit", "RecompileLimitExceeded")
    return type(error).__module__.startswith("torch._dynamo") and type(error).__name__ in kinds


def settle(
    clock: HostClock,
    run: Callable[[Any, Any], Any],
    prompts: Callable[[int], Any],
    count: Callable[[], Graphs] = counted,
) -> dict[str, Any]:
    """Generate until a generation compiles and records nothing more, and return the cost of compilation.

    run: the function that a sample runs. prompts: block number -> prompt indices. count: returns the graphs so far.
    Returns `ms`, host milliseconds in excess of as many settled generations; the `graphs` compiled and those
    `recorded` as CUDA graphs; and `passes`.

    Raises:
        NotImplementedError: every one of many generations met a new shape.
    """
    begin, spent = count(), []
    for number in range(MOST):
        before = count()
        facts, _ = timed(clock, partial(run, prompts(number)))
        spent.append(facts["host_ms"])
        ended = count()
        if len(spent) >= LEAST and ended == before:
            made = ended.compiled - begin.compiled
            return {
                # If the other arm compiled the same graphs already, this one waits for nothing; the rest is noise.
                "ms": max(0.0, sum(spent) - len(spent) * spent[-1]) if made else 0.0,
                "graphs": made,
                "recorded": ended.recorded - begin.recorded,
                "passes": len(spent),
            }
    raise NotImplementedError(
        f"engine compiled: pass {MOST} still met a new shape, so its graphs never settle"
    )


@contextmanager
def graphs_alone(engine: str, device: str, count: Callable[[], Graphs] = counted) -> Iterator[dict[str, int]]:
    """Check that a compiled arm runs on graphs alone: on CUDA recorded ones, none skipped so far; and that nothing is
    compiled, recorded or skipped inside the block. Yields the counts, for the record; an empty dict on other engines.

    Raises:
        Unused: a check fails; the message gives the counts.
    """
    if engine != "compiled":
        yield {}
        return
    before = count()
    if before.skipped:
        raise Unused(f"engine compiled: CUDA graphs were skipped {before.skipped} times while settling")
    if device.startswith("cuda") and not before.recorded:
        raise Unused("engine compiled: no CUDA graph was recorded, so kernels are launched one by one")
    yield before._asdict()
    ended = count()
    if ended != before:
        grown = ", ".join(
            f"{now - then} {name}" for name, now, then in zip(Graphs._fields, ended, before, strict=True)
        )
        raise Unused(f"engine compiled: while samples were taken, graphs changed: {grown}")
