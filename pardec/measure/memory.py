"""Peak memory of one generation."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pardec.common.lazy import lazy

torch = lazy("torch")

MB = 1e6
"""Bytes in a megabyte, decimal as on a data sheet."""


def weights_mb(model: Any) -> float:
    """Return megabytes of parameters and buffers, and of packed copies of them; shared storage counts once."""
    storages = {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in _tensors(model)}
    return sum(storages.values()) / MB


def _tensors(model: Any) -> Iterator[Any]:
    yield from model.parameters()
    yield from model.buffers()
    for holder in (*model.parameters(), *model.modules()):  # of the engine `packed`
        product = getattr(holder, "product", None)
        if product is not None:
            yield product.values


def measure_memory(device: str, model: Any, run: Callable[[], Any]) -> dict:
    """Run one untimed generation, after the warm-up's, and return its peaks in megabytes.

    On CUDA: the caching allocator's own peaks, allocated (with what CUDA graphs keep in their pools) and reserved. On a
    CPU there is no caching allocator: `peak_allocated_mb` replays every allocation and release that torch reports to
    its profiler, on top of the weights; `peak_reserved_mb` is the process's peak resident set since `reset_peak`, read
    before the profiler adds to it.
    """
    if device.startswith("cuda"):
        return _cuda(model, run)
    return _host(model, run)


def _cuda(model: Any, run: Callable[[], Any]) -> dict:
    torch.cuda.synchronize()
    # What loading and warm-up have freed is no part of the generation's peak.
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    pooled = graph_pool_bytes(torch.cuda.memory_snapshot())
    return {
        "weights_mb": weights_mb(model),
        "peak_allocated_mb": (torch.cuda.max_memory_allocated() + pooled) / MB,
        "peak_reserved_mb": torch.cuda.max_memory_reserved() / MB,
        "graph_pool_mb": pooled / MB,
        "rss_mb": resident_mb("VmHWM"),
        "method": "torch.cuda.max_memory_allocated + graph pools / max_memory_reserved",
    }


def graph_pool_bytes(segments: list[dict[str, Any]]) -> int:
    """Return the bytes of CUDA graphs' own pools that the allocator counts as free: a replayed graph keeps its
    activations there, and no allocation shows them.

    segments: those of `torch.cuda.memory_snapshot`.
    """
    pools = [one for one in segments if tuple(one.get("segment_pool_id", (0, 0))) != (0, 0)]
    return sum(one["total_size"] - one["allocated_size"] for one in pools)


def _host(model: Any, run: Callable[[], Any]) -> dict:
    resident = resident_mb("VmHWM")
    with _quiet(), _allocations() as profile:
        run()
    weights = weights_mb(model)
    return {
        "weights_mb": weights,
        "peak_allocated_mb": weights + replay(profile.kineto_results.events()) / MB,
        "peak_reserved_mb": resident,
        "rss_mb": resident,
        "method": "torch profiler allocations + weights / peak resident set",
    }


def _allocations() -> Any:
    """Return a profiler of allocations alone. Torch's profiler records every operator too and takes several times the
    generation to sort them. If a later torch renames the overridden method, all is recorded again."""
    from torch._C._profiler import RecordScope

    class Allocations(torch.autograd.profiler.profile):  # type: ignore[name-defined]
        def _start_trace(self) -> None:
            started = self.config(create_trace_id=False)
            # No code of ours marks this scope, so no operator is recorded; allocations always are.
            torch.autograd._enable_profiler(started, self.kineto_activities, {RecordScope.USER_SCOPE})

    return Allocations(use_cpu=True, profile_memory=True)


def replay(events: Any) -> int:
    """Return the highest running sum of bytes over the profiler's allocation events."""
    changes = [(event.start_ns(), event.nbytes()) for event in events if event.name() == "[memory]"]
    total = peak = 0
    for _, change in sorted(changes, key=lambda pair: pair[0]):
        total += change
        peak = max(peak, total)
    return peak


def resident_mb(field: str = "VmRSS") -> float:
    """Return the resident set of this process in megabytes, from the kernel ("VmRSS" now, "VmHWM" peak)."""
    try:
        with open("/proc/self/status") as status:
            for line in status:
                if line.startswith(field):
                    return int(line.split()[1]) * 1024 / MB
    except OSError:
        pass
    import resource
    import sys

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / MB


def reset_peak() -> None:
    """Reset the process's peak resident set, so that it excludes the loading of the models."""
    try:
        with open("/proc/self/clear_refs", "w") as handle:
            handle.write("5")
    except OSError:
        pass  # the peak then covers the whole life of the process, which is an upper bound


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence both output streams inside the block: the profiler's C++ code writes to them."""
    kept = os.dup(1), os.dup(2)
    sink = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        yield
    finally:
        for target, copy in zip((1, 2), kept, strict=True):
            os.dup2(copy, target)
            os.close(copy)
        os.close(sink)
