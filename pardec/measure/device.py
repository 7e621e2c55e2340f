"""The state of the machine before, during and after a cell, and the flags that follow from it."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from pardec.common.lazy import lazy
from pardec.measure.gpu import GpuWatch, gpu_state

torch = lazy("torch")

FOREIGN_SHARE = 0.25
"""Share of one core that other processes may use during a sample before it is flagged: a quarter core exceeds
the background of an idle desktop and is enough to change a single-threaded timing."""
CLOCK_DROP = 0.9
"""A sample whose CPU clock fell below this share of the clock before it is flagged."""


def resolve(device: str) -> str:
    """Return the device for "auto": cuda, then mps, then cpu; any other name unchanged."""
    if device != "auto":
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


WINDOW_S = 0.1
"""Shortest time in seconds for a share of a core: the kernel counts in ticks of 10 ms."""


class Watch:
    """Compares the machine's counters over windows of at least `WINDOW_S`."""

    def __init__(self, device: str = "cpu"):
        on_gpu = device.startswith("cuda")
        self.gpu = GpuWatch(torch.cuda.current_device()) if on_gpu else None
        self.before = self._read()
        self.best_mhz = self.before["mhz"]

    def flags(self, last: bool = False) -> list[str] | None:
        """Return flags for everything that disturbed the machine since the last answer: "foreign_load",
        "clock_drop", "swap", and those of `GpuWatch`; None if it is too soon.

        last: answer in any case, but without "foreign_load" for less than half a window.
        """
        now, then = self._read(), self.before
        wall = now["wall"] - then["wall"]
        if wall < WINDOW_S and not last:
            return None
        self.before = now
        flags = []
        others = (now["busy"] - then["busy"]) - (now["own"] - then["own"])
        if wall > WINDOW_S / 2 and others / wall > FOREIGN_SHARE:
            flags.append("foreign_load")
        if now["swap"] > then["swap"]:
            flags.append("swap")
        if self.best_mhz and now["mhz"] and now["mhz"] < CLOCK_DROP * self.best_mhz:
            flags.append("clock_drop")
        self.best_mhz = max(filter(None, (self.best_mhz, now["mhz"])), default=None)
        return flags + (self.gpu.flags() if self.gpu else [])

    def sample(self) -> dict | None:
        """Return the GPU's state right after a sample; None on a CPU, whose state is checked per block."""
        return self.gpu.sample() if self.gpu else None

    @staticmethod
    def _read() -> dict:
        times = os.times()
        return {
            "wall": time.monotonic(),
            "busy": _busy_seconds(),
            "own": times.user + times.system,
            "swap": _swap_pages(),
            "mhz": _clock_mhz(),
        }


def state(device: str) -> dict:
    """Return a snapshot for the record: load, clock, memory, and the clocks and temperature of a GPU."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    facts: dict[str, Any] = {"load_1min": load, "cpu_mhz": _clock_mhz(), "available_mb": _available_mb()}
    if device.startswith("cuda"):
        facts["gpu"] = gpu_state(torch.cuda.current_device())
    return facts


def _busy_seconds() -> float:
    """Return the CPU seconds of all processes since boot (user, nice, system, irq, softirq); 0 without /proc."""
    try:
        fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    except OSError:
        return 0.0
    user, nice, system, _, _, irq, softirq = (int(field) for field in fields[:7])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def _swap_pages() -> int:
    try:
        for line in Path("/proc/vmstat").read_text().splitlines():
            if line.startswith("pswpout "):
                return int(line.split()[1])
    except OSError:
        pass
    return 0


def _clock_mhz() -> float | None:
    try:
        text = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq").read_text()
        return int(text) / 1000
    except (OSError, ValueError):
        return None


def _available_mb() -> float | None:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable"):
                return int(line.split()[1]) * 1024 / 1e6
    except OSError:
        pass
    return None
