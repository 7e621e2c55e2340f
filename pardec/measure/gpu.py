"""What NVML says of the GPU that a cell runs on: its state for the record, and what disturbed it while it was timed."""

from __future__ import annotations

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
    """Clocks (MHz), temperature (C), power (W), throttle reasons, processes; {"error": ...} where NVML fails."""
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
            "processes": len(pynvml.nvmlDeviceGetComputeRunningProcesses(handle)),
        }
    except (pynvml.NVMLError, RuntimeError) as error:
        return {"error": str(error)}


class GpuWatch:
    """Asks NVML between samples. Where it cannot be asked at the start, nothing is flagged; later, the GPU is gone."""

    def __init__(self, index: int):
        self.index = index
        self.began_with = gpu_state(index)

    def flags(self) -> list[str]:
        """ "gpu_lost", "gpu_foreign" (another process computes there), "gpu_throttled" (heat, power, hardware)."""
        if "error" in self.began_with:
            return []
        state = gpu_state(self.index)
        if "error" in state:
            return ["gpu_lost"]
        # This process is one of them, unless its container hides it; it alone is never foreign.
        found = ["gpu_foreign"] if state["processes"] > 1 else []
        if state["throttle_reasons"] & ~HARMLESS:
            found.append("gpu_throttled")
        return found
