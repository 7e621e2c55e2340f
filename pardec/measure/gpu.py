"""The GPU's state by NVML: facts for the record, and flags for samples that something disturbed."""

from __future__ import annotations

import os
from collections.abc import Callable
from statistics import median
from typing import Any

from pardec.common.lazy import lazy

torch = lazy("torch")

SLOWDOWNS = 0x8 | 0x20 | 0x40 | 0x80
"""Reasons for a lower clock that are faults: hardware slowdown, software and hardware thermal slowdown, power brake. A
power cap (0x4) is not: a fully loaded GPU is at its cap by design, on both sides of a ratio, and the clock shows its
effect."""
CLOCK_DROP = 0.9
"""A sample whose clock is below this share of the cell's median clock is flagged, as nvbench does."""
GONE = {1, 9, 15, 16}
"""NVML errors after which no query works: uninitialised, no driver, GPU lost, reset required."""


def handle_of(index: int) -> Any:
    """Return NVML's handle of torch's device `index`, by its UUID, since CUDA_VISIBLE_DEVICES numbers devices anew."""
    import pynvml

    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if uuid is None:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    text = str(uuid)
    if text.startswith(("GPU-", "MIG-")):
        return pynvml.nvmlDeviceGetHandleByUUID(text)
    try:
        return pynvml.nvmlDeviceGetHandleByUUID(f"GPU-{text}")
    except pynvml.NVMLError as error:
        if getattr(error, "value", None) != pynvml.NVML_ERROR_NOT_FOUND:
            raise
        # A part of a GPU (MIG) has a UUID of its own.
        return pynvml.nvmlDeviceGetHandleByUUID(f"MIG-{text}")


def gpu_state(index: int) -> dict:
    """Return clocks (MHz), temperature (C), power (W), throttle reasons, processes and foreign processes, uncorrected
    memory errors, ECC, MIG, driver; a field is None if the GPU does not report it, and the result is {"error": ...} if
    NVML fails."""
    import pynvml as nvml

    try:
        nvml.nvmlInit()
        handle = handle_of(index)

        def ask(name: str, *arguments: str) -> Any:
            """Return the answer to one query, or None where the GPU or the bindings do not know it."""
            try:
                return getattr(nvml, name)(handle, *(getattr(nvml, argument) for argument in arguments))
            except AttributeError:
                return None
            except nvml.NVMLError as error:
                if getattr(error, "value", None) in GONE:
                    raise
                return None

        power, ecc, mig = (
            ask(name) for name in ("nvmlDeviceGetPowerUsage", "nvmlDeviceGetEccMode", "nvmlDeviceGetMigMode")
        )
        return {
            "sm_mhz": ask("nvmlDeviceGetClockInfo", "NVML_CLOCK_SM"),
            "memory_mhz": ask("nvmlDeviceGetClockInfo", "NVML_CLOCK_MEM"),
            "temperature_c": ask("nvmlDeviceGetTemperature", "NVML_TEMPERATURE_GPU"),
            "power_w": None if power is None else power / 1000,
            "throttle_reasons": ask("nvmlDeviceGetCurrentClocksEventReasons"),
            **_processes(ask("nvmlDeviceGetComputeRunningProcesses")),
            "ecc": None if ecc is None else bool(ecc[0]),
            "ecc_uncorrected": ask(
                "nvmlDeviceGetTotalEccErrors", "NVML_MEMORY_ERROR_TYPE_UNCORRECTED", "NVML_VOLATILE_ECC"
            ),
            "mig": None if mig is None else bool(mig[0]),
            "driver": _driver(nvml),
        }
    except (nvml.NVMLError, RuntimeError) as error:
        return {"error": str(error)}


def _processes(computing: list | None) -> dict:
    """Return the number of computing processes, and the ids of those that are neither this one nor started by it.

    A container may hide ids: then only the count is compared with the number of our processes.
    """
    if computing is None:
        return {"processes": None, "foreign_pids": None}
    ours = own_pids()
    pids = [getattr(process, "pid", None) for process in computing]
    if ours & set(pids):
        foreign = [pid for pid in pids if pid is not None and pid not in ours]
    else:
        foreign = [pid for pid in pids if pid is not None] if len(pids) > len(ours) else []
        foreign = foreign or [None] * max(0, len(pids) - len(ours))
    return {"processes": len(pids), "foreign_pids": foreign}


def own_pids() -> set[int]:
    """Return the ids of this process and of all its descendants, such as another library's engine."""
    import psutil

    try:
        return {os.getpid(), *(child.pid for child in psutil.Process().children(recursive=True))}
    except psutil.Error:
        return {os.getpid()}


def _driver(nvml: Any) -> str | None:
    try:
        driver = nvml.nvmlSystemGetDriverVersion()
    except (nvml.NVMLError, AttributeError):
        return None
    # Older bindings answer in bytes.
    return driver.decode() if isinstance(driver, bytes) else driver


def energy_counter(index: int) -> Callable[[], float] | None:
    """Return a function that reads the GPU's energy counter in millijoules, or None where it has none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = handle_of(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (pynvml.NVMLError, RuntimeError, AttributeError):
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))


class GpuWatch:
    """Queries NVML between samples. If NVML fails at the start, nothing is flagged; if it fails later, "gpu_lost"."""

    def __init__(self, index: int):
        self.index = index
        self.began_with = gpu_state(index)
        self.clocks: list[float] = []
        """SM clocks right after each sample, in MHz."""
        self.checked = 0

    def sample(self) -> dict:
        """Return the part of the state right after a sample that its record keeps."""
        state = gpu_state(self.index)
        if state.get("sm_mhz") is not None:
            self.clocks.append(state["sm_mhz"])
        return {key: value for key, value in state.items() if key not in ("ecc", "mig", "driver")}

    def flags(self) -> list[str]:
        """Return the flags of the samples since the last call: "gpu_lost"; "gpu_foreign" (a process that is not ours
        computes there); "gpu_memory_error" (one that could not be corrected); "gpu_throttled" (heat or a fault slows
        it down); "gpu_clock_drop" (a clock well below the cell's median)."""
        if "error" in self.began_with:
            return []
        state = gpu_state(self.index)
        if "error" in state:
            return ["gpu_lost"]
        since, self.checked = self.clocks[self.checked :], len(self.clocks)
        checks = {
            "gpu_foreign": state["foreign_pids"],
            "gpu_memory_error": (state["ecc_uncorrected"] or 0) > (self.began_with["ecc_uncorrected"] or 0),
            "gpu_throttled": (state["throttle_reasons"] or 0) & SLOWDOWNS,
            "gpu_clock_drop": since and min(since) < CLOCK_DROP * median(self.clocks),
        }
        return [flag for flag, disturbed in checks.items() if disturbed]
