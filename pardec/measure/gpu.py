"""What NVML says of the GPU that a cell runs on: its state for the record, and what disturbed it while it was timed."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy

torch = lazy("torch")

HARMLESS = 0x1 | 0x2
"""Reasons for a lower clock that are no fault: the GPU is idle, or the clocks are set by the application."""


def handle_of(index: int) -> Any:
    """NVML's handle of torch's device `index`; found by its UUID, since CUDA_VISIBLE_DEVICES numbers anew."""
    import pynvml

    uuid = getattr(torch.cuda.get_device_properties(index), "uuid", None)
    if uuid is None:
        return pynvml.nvmlDeviceGetHandleByIndex(index)
    text = str(uuid)
    return pynvml.nvmlDeviceGetHandleByUUID(text if text.startswith(("GPU-", "MIG-")) else f"GPU-{text}")


def gpu_state(index: int) -> dict:
    """Clocks (MHz), temperature (C), power (W), throttle reasons, processes and those that are not this one, errors
    that memory could not correct, MIG, driver; {"error": ...} where NVML fails."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = handle_of(index)
        return {
            "sm_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM),
            "memory_mhz": pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_MEM),
            "temperature_c": pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
            "power_w": pynvml.nvmlDeviceGetPowerUsage(handle) / 1000,
            "throttle_reasons": pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
            **_processes(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
            **_standing(pynvml, handle),
        }
    except (pynvml.NVMLError, RuntimeError) as error:
        return {"error": str(error)}


def _processes(found: list) -> dict:
    """How many compute there, and the ids of all but this one. A container may hide this one's own id: then the ids
    tell nothing, and the count alone is judged."""
    ids = [getattr(process, "pid", None) for process in found]
    return {"processes": len(found), "foreign_pids": [pid for pid in ids if pid not in (None, os.getpid())]}


def _standing(pynvml: Any, handle: Any) -> dict:
    """Facts that do not change while a cell runs, and that not every GPU has: null where it says nothing of them."""

    def ask(name: str, *args: Any) -> Any:
        try:
            return getattr(pynvml, name)(*args)
        except (pynvml.NVMLError, AttributeError):
            return None

    errors = None
    kinds = [
        getattr(pynvml, f"NVML_{name}", None) for name in ("MEMORY_ERROR_TYPE_UNCORRECTED", "VOLATILE_ECC")
    ]
    if None not in kinds:
        errors = ask("nvmlDeviceGetTotalEccErrors", handle, *kinds)
    ecc, mig = ask("nvmlDeviceGetEccMode", handle), ask("nvmlDeviceGetMigMode", handle)
    return {
        "ecc": None if ecc is None else bool(ecc[0]),
        "ecc_uncorrected": errors,
        "mig": None if mig is None else bool(mig[0]),
        "driver": _text(ask("nvmlSystemGetDriverVersion")),
    }


def _text(said: Any) -> str | None:
    """Older bindings answer in bytes."""
    return said.decode() if isinstance(said, bytes) else said


def energy_counter(index: int) -> Callable[[], float] | None:
    """A function that reads the GPU's energy counter in millijoules; None where it has none."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handle = handle_of(index)
        pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
    except (pynvml.NVMLError, RuntimeError, AttributeError):
        return None
    return lambda: float(pynvml.nvmlDeviceGetTotalEnergyConsumption(handle))


class GpuWatch:
    """Asks NVML between samples. Where it cannot be asked at the start, nothing is flagged; later, the GPU is gone."""

    def __init__(self, index: int):
        self.index = index
        self.began_with = gpu_state(index)

    def sample(self) -> dict:
        """What a sample's record keeps of the state right after it."""
        state = gpu_state(self.index)
        return {key: value for key, value in state.items() if key not in ("ecc", "mig", "driver")}

    def flags(self) -> list[str]:
        """ "gpu_lost", "gpu_memory_error" (one that could not be corrected),
        "gpu_foreign" (another process computes there), "gpu_throttled" (heat, power, hardware)."""
        if "error" in self.began_with:
            return []
        state = gpu_state(self.index)
        if "error" in state:
            return ["gpu_lost"]
        # This process is one of them, unless its container hides it; it alone is never foreign.
        found = ["gpu_foreign"] if state["processes"] > 1 else []
        if (state["ecc_uncorrected"] or 0) > (self.began_with["ecc_uncorrected"] or 0):
            found.append("gpu_memory_error")
        if state["throttle_reasons"] & ~HARMLESS:
            found.append("gpu_throttled")
        return found
