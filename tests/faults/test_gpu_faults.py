"""A GPU that vanishes, that others use, or that throttles: NVML stands in, the harness is the real one."""

from __future__ import annotations

import os
import subprocess
import sys
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
    NVML_ERROR_NOT_FOUND = pynvml.NVML_ERROR_NOT_FOUND

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


def test_a_part_of_a_gpu_is_asked_under_its_own_name(nvml, monkeypatch):
    """CUDA gives a MIG device's UUID without the prefix, under which NVML knows no whole GPU."""

    def known(uuid):
        nvml.asked.append(uuid)
        if not uuid.startswith("MIG-"):
            raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_FOUND)
        return uuid

    monkeypatch.setattr(nvml, "nvmlDeviceGetHandleByUUID", known)
    assert gpu.gpu_state(0)["sm_mhz"] == 1980
    assert nvml.asked == [f"GPU-{UUID}", f"MIG-{UUID}"]


@pytest.mark.parametrize(
    ("change", "flag"),
    [
        ({"processes": 2}, "gpu_foreign"),
        *(({"reasons": reason}, "gpu_throttled") for reason in (0x8, 0x20, 0x40, 0x80, 0x84)),
        ({"lost": True}, "gpu_lost"),
    ],
)
def test_what_disturbs_a_gpu_flags_the_samples_since(nvml, change, flag):
    watch = gpu.GpuWatch(0)
    assert watch.flags() == []
    for name, value in change.items():
        setattr(nvml, name, value)
    assert watch.flags() == [flag]


@pytest.mark.parametrize("reasons", [0x1, 0x2, 0x4, 0x7, 0x10, 0x100])
def test_idle_set_clocks_and_a_power_cap_are_facts_and_no_flags(nvml, reasons):
    watch = gpu.GpuWatch(0)
    nvml.reasons = reasons
    assert watch.flags() == [] and watch.sample()["throttle_reasons"] == reasons


def test_a_clock_below_the_cells_own_median_flags_its_samples(nvml):
    watch, clocks = gpu.GpuWatch(0), iter([1500, 1480, 1510, 1200, 1490])
    nvml.nvmlDeviceGetClockInfo = lambda handle, kind: mhz
    flags = []
    for mhz in clocks:  # noqa: B007 (read by the pretended query)
        watch.sample()
        flags.append(watch.flags())
    assert flags == [[], [], [], ["gpu_clock_drop"], []]


QUERIES = [name for name in vars(FakeNvml) if name.startswith("nvmlDeviceGet") and "Handle" not in name]


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_that_a_card_does_not_support_loses_its_own_field_only(nvml, query):
    def refuse(*_):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    whole = gpu.gpu_state(0)
    setattr(nvml, query, refuse)
    state = gpu.gpu_state(0)
    lost = {key for key in whole if state[key] != whole[key]}
    assert lost and all(state[key] is None for key in lost) and len(lost) <= 2
    nvml.reasons = 0x40
    expected = [] if "Reasons" in query else ["gpu_throttled"]
    assert gpu.GpuWatch(0).flags() == expected, "what is left still flags"


def test_a_process_that_this_one_started_is_not_foreign(nvml, monkeypatch):
    """As vLLM's engine, which computes in a process of its own."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        pids = [os.getpid(), child.pid]
        listed = lambda handle: [SimpleNamespace(pid=pid) for pid in pids]  # noqa: E731
        monkeypatch.setattr(nvml, "nvmlDeviceGetComputeRunningProcesses", listed, raising=False)
        watch = gpu.GpuWatch(0)
        assert watch.flags() == [] and gpu.gpu_state(0)["foreign_pids"] == []
        pids.append(1)
        assert watch.flags() == ["gpu_foreign"] and gpu.gpu_state(0)["foreign_pids"] == [1]
    finally:
        child.communicate(b"\n")


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
