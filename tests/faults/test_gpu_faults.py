"""A GPU that vanishes, that others use, or that throttles: NVML stands in, the harness is the real one."""

from __future__ import annotations

from types import SimpleNamespace

import pynvml
import pytest
import torch

from pardec.measure import device, gpu
from tests.faults import arms

UUID = "11111111-2222-3333-4444-555555555555"


class FakeNvml:
    """One GPU; a test changes what it says."""

    NVML_CLOCK_SM, NVML_CLOCK_MEM, NVMLError = 1, 2, pynvml.NVMLError

    def __init__(self):
        self.reasons, self.processes, self.lost, self.asked = 0, 1, False, []

    def _say(self, value):
        if self.lost:
            raise pynvml.NVMLError(pynvml.NVML_ERROR_GPU_IS_LOST)
        return value

    def nvmlInit(self):
        self._say(None)

    def nvmlDeviceGetHandleByUUID(self, uuid):
        self.asked.append(uuid)
        return self._say(uuid)

    def nvmlDeviceGetHandleByIndex(self, index):
        self.asked.append(index)
        return self._say(index)

    def nvmlDeviceGetClockInfo(self, handle, kind):
        return self._say(1980)

    def nvmlDeviceGetTemperature(self, handle, kind):
        return self._say(60)

    def nvmlDeviceGetPowerUsage(self, handle):
        return self._say(300_000)

    def nvmlDeviceGetCurrentClocksEventReasons(self, handle):
        return self._say(self.reasons)

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._say([object()] * self.processes)

    NVML_TEMPERATURE_GPU = 0


@pytest.fixture
def nvml(monkeypatch):
    fake = FakeNvml()
    monkeypatch.setitem(__import__("sys").modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=UUID))
    return fake


@pytest.fixture
def watched(nvml, monkeypatch):
    """The harness on a CPU, told that its device is a GPU."""
    real = device.Watch
    monkeypatch.setattr(device, "Watch", lambda name: real("cuda"))
    return nvml


def test_a_gpu_is_found_by_its_uuid(nvml):
    """CUDA_VISIBLE_DEVICES, as Slurm sets it, numbers GPUs anew; NVML's numbers stay."""
    assert gpu.gpu_state(0)["sm_mhz"] == 1980
    assert nvml.asked == [f"GPU-{UUID}"]


@pytest.mark.parametrize(
    ("change", "flag"),
    [({"processes": 2}, "gpu_foreign"), ({"reasons": 0x40}, "gpu_throttled"), ({"lost": True}, "gpu_lost")],
)
def test_what_disturbs_a_gpu_flags_the_samples_since(nvml, change, flag):
    watch = gpu.GpuWatch(0)
    assert watch.flags() == []
    for name, value in change.items():
        setattr(nvml, name, value)
    assert watch.flags() == [flag]


def test_an_idle_gpu_and_set_clocks_are_no_throttling(nvml):
    watch = gpu.GpuWatch(0)
    nvml.reasons = gpu.HARMLESS
    assert watch.flags() == []


def test_without_nvml_nothing_is_flagged(nvml):
    nvml.lost = True
    watch = gpu.GpuWatch(0)
    assert watch.flags() == [] and "error" in watch.began_with


def test_flagged_samples_are_kept_and_no_clean_sample_counts_them(watched, tmp_path, monkeypatch):
    monkeypatch.setattr(device, "WINDOW_S", 0.0)
    watched.processes = 3
    job = arms.Job(tmp_path, monkeypatch)
    assert job.start() == 0
    samples = job.record()["samples"]
    assert samples and all("gpu_foreign" in sample["flags"] for sample in samples)
    flags = job.row()["flags"]
    assert "gpu_foreign" in flags and "no_clean_sample" in flags


def test_a_gpu_that_vanishes_fails_the_cell_and_the_record_says_so(watched, tmp_path, monkeypatch):
    class Vanished(arms.Fake):
        def misbehave(self, new_tokens):
            watched.lost = True
            raise RuntimeError("CUDA error: unspecified launch failure")

    monkeypatch.setattr(arms, "Vanished", Vanished, raising=False)
    Vanished.__module__, Vanished.__qualname__ = arms.__name__, "Vanished"
    job = arms.Job(tmp_path, monkeypatch)
    job.register("fake", Vanished)
    monkeypatch.setattr(device, "state", lambda name: {"gpu": gpu.gpu_state(0)})
    assert job.start(decoder="fake") == 0
    record = job.record()
    assert record["status"] == "failed" and "unspecified launch failure" in record["reason"]
    assert record["device"]["before"]["gpu"]["sm_mhz"] == 1980
    assert "error" in record["device"]["after"]["gpu"] and job.row()["status"] == "failed"
