"""Facts of the machine, and the two measured rates to which everything else is compared."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable

from pardec.common import host
from pardec.common.lazy import lazy
from pardec.measure.device import gpu_state, resolve

torch = lazy("torch")

COPY_BYTES = 2**30
"""Bytes of the buffer copied to measure bandwidth, if memory suffices: far more than any cache."""
COPY_SHARE = 16
"""The buffer takes at most 1 / `COPY_SHARE` of the memory."""
COPIES, COPIES_ON_CPU = 20, 2
"""Copies timed together. On a GPU one takes half a millisecond, and the launch of one alone would show."""
MATMUL_SIDE = 1024
"""Side of the square product that measures the matmul rate on a CPU; on a GPU it is eight times larger."""


def describe(device: str, threads: int, precision: str) -> dict:
    """Return facts of the machine for the report and for every record's provenance.

    device: "auto", "cpu", "cuda" or "mps". threads: torch threads, the same as timed cells use. precision: name of
    a torch dtype. Rates: `copy_gb_per_s` counts bytes read plus bytes written, `matmul_gflop_per_s` a square product.
    """
    torch.set_num_threads(threads)
    device = resolve(device)
    facts = {
        "device": device,
        "cpu": host.cpu_name(),
        "cores": os.cpu_count(),
        "memory_gb": host.memory_gb(),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "clock_mhz": host.clock_mhz(),
        "governor": host.governor(),
        "container": host.container(),
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "torch_config": torch.__config__.show().strip().splitlines()[1:4],
        "threads": threads,
        "precision": precision,
        "copy_gb_per_s": copy_rate(device),
        "matmul_gflop_per_s": matmul_rate(device, precision),
        "packages": host.packages(),
    }
    if device.startswith("cuda"):
        index = torch.cuda.current_device()
        properties = torch.cuda.get_device_properties(index)
        facts["gpu"] = {
            "name": properties.name,
            "memory_gb": properties.total_memory / 1e9,
            "capability": list(torch.cuda.get_device_capability(index)),
            "cuda": torch.version.cuda,
            "driver": host.driver(),
            "state": gpu_state(index),
        }
    return facts


def copy_rate(device: str, repeats: int = 5) -> float:
    """Return the gigabytes per second of large device copies, read plus written; the best of `repeats` series."""
    size, count = copy_bytes(device), COPIES_ON_CPU if device == "cpu" else COPIES
    source = torch.ones(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)

    def copies() -> None:
        for _ in range(count):
            target.copy_(source)

    return 2 * size * count / _best(copies, device, repeats) / 1e9


def copy_bytes(device: str) -> int:
    """Return the bytes of the copied buffer: `COPY_BYTES`, or a share of a small memory."""
    on_gpu = device.startswith("cuda")
    memory = torch.cuda.mem_get_info()[0] if on_gpu else (host.memory_gb() or 4) * 1e9
    return min(COPY_BYTES, int(memory / COPY_SHARE))


def matmul_rate(device: str, precision: str, repeats: int = 5) -> float:
    """Return the GFLOP/s of a square matrix product in `precision`; the best of `repeats`."""
    side = MATMUL_SIDE * (1 if device == "cpu" else 8)
    left = torch.randn(side, side, device=device).to(getattr(torch, precision))
    seconds = _best(lambda: left @ left, device, repeats)
    return 2 * side**3 / seconds / 1e9


def _best(work: Callable[[], object], device: str, repeats: int) -> float:
    """Return the shortest seconds of `work` after one unmeasured run; by device events if the device has them."""
    from pardec.measure.clock import clock_for

    clock = clock_for(device)
    work()
    times = []
    for _ in range(repeats):
        clock.synchronize()
        begin = clock.stamp()
        work()
        if not clock.on_device:
            clock.synchronize()
        end = clock.stamp()
        clock.synchronize()
        times.append(clock.elapsed_ms(begin, end) / 1e3)
    return min(times)


def burn_in(device: str, threads: int, precision: str, seconds: float) -> list[float]:
    """Multiply matrices for `seconds`, so that clocks and power settle; return the milliseconds of each product."""
    torch.set_num_threads(threads)
    device = resolve(device)
    side = MATMUL_SIDE * (1 if device == "cpu" else 8)
    left = torch.randn(side, side, device=device).to(getattr(torch, precision))
    passes: list[float] = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        passes.append(_best(lambda: left @ left, device, 1) * 1e3)
    return passes
