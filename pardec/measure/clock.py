"""Clocks, and the observer that reads them while a decoder runs.

On a CPU the host clock is read at every event. On a CUDA device an event is recorded on the stream instead, so
nothing waits; the events are read after one synchronisation at the end, together with the synchronised host
clock.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy
from pardec.decoding.base import Observer

torch = lazy("torch")


class HostClock:
    """Host clock for a CPU, where a call returns after its work is done.

    now_ns, cpu_ns: sources of wall and process CPU time in nanoseconds, replaceable in tests.
    """

    name = "perf_counter"
    on_device = False
    """Whether the device takes the stamps, in the order of its work."""

    def __init__(
        self,
        now_ns: Callable[[], int] = time.perf_counter_ns,
        cpu_ns: Callable[[], int] = time.process_time_ns,
    ):
        self.now_ns, self.cpu_ns = now_ns, cpu_ns

    def synchronize(self) -> None:
        """Do nothing: a CPU computes in order."""
        pass

    def stamp(self) -> Any:
        """Return the time in nanoseconds."""
        return self.now_ns()

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        """Return milliseconds between two stamps; call after `synchronize`."""
        return (end - begin) / 1e6


class CudaClock(HostClock):
    """CUDA events for phases; `synchronize` makes the host clock valid at both ends."""

    name = "cuda_event"
    on_device = True

    def synchronize(self) -> None:
        """Wait until the GPU has finished."""
        torch.cuda.synchronize()

    def stamp(self) -> Any:
        """Return an event recorded on the current stream."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def elapsed_ms(self, begin: Any, end: Any) -> float:
        return begin.elapsed_time(end)


class MpsClock(HostClock):
    """Host clock for Apple GPUs, synchronised at both ends; stamps in between are not synchronised."""

    name = "perf_counter_mps_ends"

    def synchronize(self) -> None:
        """Wait until the GPU has finished."""
        torch.mps.synchronize()


def clock_for(device: str) -> HostClock:
    """Return the clock of a device ("cuda", "mps" or "cpu")."""
    return {"cuda": CudaClock, "mps": MpsClock}.get(device.partition(":")[0], HostClock)()


class Stopwatch(Observer):
    """Observer that stamps each report of a decoder; one per timed generation."""

    def __init__(self, clock: HostClock):
        self.clock = clock
        self.begin = clock.cpu_ns(), clock.now_ns(), clock.stamp()
        """Process CPU time, host clock and stamp at the decoder's reported start, or at construction."""
        self.steps: list[tuple[Any, Any]] = []
        self.blocks: list[Any] = []
        self.phases: list[tuple[str, Any]] = []
        self.cycles: list[tuple[Any, int, dict[str, Any]]] = []
        """Stamp, number of phases ended by then, and facts."""
        self.prefilled: Any = None

    def start(self) -> None:
        self.begin = self.clock.cpu_ns(), self.clock.now_ns(), self.clock.stamp()

    def prefill(self) -> None:
        self.prefilled = self.clock.stamp()

    def step(self, committed: Any, final: int | None = None) -> None:
        stamp = self.clock.stamp()
        self.steps.append((stamp, committed))
        if final is not None:
            self.blocks.append(stamp)

    def block(self, stop: int) -> None:
        self.blocks.append(self.clock.stamp())

    def phase(self, name: str) -> None:
        self.phases.append((name, self.clock.stamp()))

    def seconds(self) -> float:
        return self.clock.now_ns() / 1e9

    def cycle(self, **facts: Any) -> None:
        self.cycles.append((self.clock.stamp(), len(self.phases), facts))


def phases_ms(clock: HostClock, begin: Any, phases: list[tuple[str, Any]]) -> dict[str, float]:
    """Return the milliseconds of each phase, summed over its occurrences; time after the last phase is left out."""
    total: dict[str, float] = {}
    for name, stamp in phases:
        total[name] = total.get(name, 0.0) + clock.elapsed_ms(begin, stamp)
        begin = stamp
    return total


def cycles_of(clock: HostClock, begin: Any, watch: Stopwatch) -> list[dict[str, Any]]:
    """Return each cycle's facts with its end `at_ms` and the phases that ended in it, `phases_ms`; the first cycle
    begins after the prompt has been processed."""
    cycles = []
    since, first = begin if watch.prefilled is None else watch.prefilled, 0
    if watch.phases and watch.phases[0][0] == "prefill":
        since, first = watch.phases[0][1], 1
    for stamp, ended, reported in watch.cycles:
        phases = watch.phases[first:ended]
        facts = {name: number(fact) for name, fact in reported.items()}
        cycles.append(
            {"at_ms": clock.elapsed_ms(begin, stamp), **facts, "phases_ms": phases_ms(clock, since, phases)}
        )
        since, first = stamp, ended
    return cycles


def number(fact: Any) -> float | int:
    """Return a cycle's fact as a plain number; tensors are read here, after the clock has stopped."""
    return fact.item() if hasattr(fact, "item") else fact


def mean_committed(committed: Any) -> float:
    """Return the mean tokens per row that one step committed; tensors [B] are read here, after the clock has
    stopped."""
    return float(committed.double().mean()) if hasattr(committed, "mean") else float(committed)


def timed(clock: HostClock, run: Callable[[Stopwatch], Any]) -> tuple[dict, Any]:
    """Run one generation and return its times and its result. Timing begins when the decoder reports its start, so
    it excludes building the batch.

    Returns (facts, result of `run`); facts gives milliseconds from that start: `e2e_ms` by the device
    clock, `host_ms` by the synchronised host clock, `cpu_ms` process CPU time, `prefill_ms`, `first_ms`,
    `commit_ms`, `block_ms`, and `committed`, tokens per row for each step. Where the decoder reports phases
    or cycles, also `phases_ms` by name, and `cycles`, each with its stamp `at_ms`.
    """
    clock.synchronize()
    watch = Stopwatch(clock)
    result = run(watch)
    cpu_begin, host_begin, begin = watch.begin
    end = clock.stamp()
    clock.synchronize()
    host_end, cpu_end = clock.now_ns(), clock.cpu_ns()

    committed = [mean_committed(count) for _, count in watch.steps]
    stamps = [clock.elapsed_ms(begin, stamp) for stamp, _ in watch.steps]
    first = next((k for k, count in enumerate(committed) if count > 0), None)
    facts: dict[str, Any] = {
        "e2e_ms": clock.elapsed_ms(begin, end),
        "host_ms": (host_end - host_begin) / 1e6,
        "cpu_ms": (cpu_end - cpu_begin) / 1e6,
        "prefill_ms": None if watch.prefilled is None else clock.elapsed_ms(begin, watch.prefilled),
        "first_ms": None if first is None else stamps[first],
        "first_tokens": None if first is None else committed[first],
        "commit_ms": stamps,
        "committed": committed,
        "block_ms": [clock.elapsed_ms(begin, stamp) for stamp in watch.blocks],
    }
    if watch.phases:
        facts["phases_ms"] = phases_ms(clock, begin, watch.phases)
    if watch.cycles:
        facts["cycles"] = cycles_of(clock, begin, watch)
    return facts, result
