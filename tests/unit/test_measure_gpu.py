"""What NVML says, energy by its counter, and the out-of-memory boundary: a pretended GPU, the harness's own code."""

from __future__ import annotations

import os
import sys
from types import SimpleNamespace

import pynvml
import pytest
import torch

from pardec.evidence.tables.cells import resources
from pardec.measure import cell, device, gpu
from pardec.measure.boundary import largest_batch, tries
from pardec.measure.cell import out_of_memory
from pardec.measure.clock import HostClock
from pardec.measure.energy import LEAST_S, measure_energy
from pardec.measure.sampling import Series, measure
from pardec.measure.settings import MeasureSettings
from pardec.measure.stopping import Maximum
from tests.faults.test_gpu_faults import UUID, FakeNvml


class Card(FakeNvml):
    """A whole GPU: memory errors, MIG, a driver, an energy counter."""

    NVML_MEMORY_ERROR_TYPE_UNCORRECTED, NVML_VOLATILE_ECC = 1, 0

    def __init__(self):
        super().__init__()
        self.errors, self.pids, self.mj = 0, [os.getpid()], 0.0

    def nvmlDeviceGetComputeRunningProcesses(self, handle):
        return self._say([SimpleNamespace(pid=pid) for pid in self.pids])

    def nvmlDeviceGetTotalEccErrors(self, handle, kind, counter):
        assert (kind, counter) == (1, 0)
        return self._say(self.errors)

    def nvmlDeviceGetEccMode(self, handle):
        return self._say([1, 1])

    def nvmlDeviceGetMigMode(self, handle):
        raise pynvml.NVMLError(pynvml.NVML_ERROR_NOT_SUPPORTED)

    def nvmlSystemGetDriverVersion(self):
        return self._say(b"580.65")

    def nvmlDeviceGetTotalEnergyConsumption(self, handle):
        return self._say(self.mj)


@pytest.fixture
def card(monkeypatch):
    fake = Card()
    monkeypatch.setitem(sys.modules, "pynvml", fake)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=UUID))
    return fake


def test_the_state_names_errors_mode_driver_and_strangers(card):
    card.pids = [os.getpid(), 4711]
    state = gpu.gpu_state(0)
    assert (state["ecc"], state["ecc_uncorrected"], state["mig"], state["driver"]) == (
        True,
        0,
        None,
        "580.65",
    )
    assert state["processes"] == 2 and state["foreign_pids"] == [4711]


def test_a_new_memory_error_flags_and_an_old_one_does_not(card):
    card.errors = 3
    watch = gpu.GpuWatch(0)
    assert watch.flags() == []
    card.errors = 4
    assert watch.flags() == ["gpu_memory_error"]


def test_every_sample_keeps_the_state_right_after_it(card):
    watch = device.Watch("cuda")
    series = Series(lambda indices, watch: SimpleNamespace(
        tokens=torch.zeros(1, 2), useful=torch.tensor([2]), nfe=1, token_forwards=2))  # fmt: skip
    measure(series, None, HostClock(), lambda block: [0], [Maximum(3)], 0, 1, inspect=watch.sample)
    assert [sample["gpu"]["sm_mhz"] for sample in series.samples] == [1980] * 3
    assert all("throttle_reasons" in s["gpu"] and "driver" not in s["gpu"] for s in series.samples)
    assert device.Watch("cpu").sample() is None


class Burning:
    """A clock and a counter: 100 W idle, 400 W while it runs; a run takes `takes` seconds."""

    def __init__(self, takes: float, step_s: float = 0.02):
        self.time, self.mj, self.takes, self.step = 0.0, 0.0, takes, step_s

    def sleep(self, seconds, watt=100):
        self.time += seconds
        self.mj += watt * seconds * 1e3

    def counter(self):
        return self.mj - self.mj % (100 * self.step * 1e3)

    def measure(self, window_s, flags=list):
        return measure_energy(lambda: self.sleep(self.takes, 400), self.counter, window_s, flags=flags,
                              now=lambda: self.time, sleep=self.sleep)  # fmt: skip


def test_energy_is_the_counters_above_idleness():
    result = Burning(0.25).measure(3.0)
    assert result["runs"] == 12 and result["valid"] and result["reason"] is None
    assert result["joules_per_output"] == pytest.approx(100, rel=0.02)
    assert result["net_joules_per_output"] == pytest.approx(75, rel=0.03)
    assert result["idle_w"] == pytest.approx(100, rel=0.02)


@pytest.mark.parametrize(
    ("window", "flags", "step", "reason"),
    [(LEAST_S / 2, list, 0.02, "shorter"), (3.0, lambda: ["gpu_foreign"], 0.02, "gpu_foreign"),
     (3.0, list, 100.0, "hardly moved")],
)  # fmt: skip
def test_what_is_no_measurement_is_marked(window, flags, step, reason):
    result = Burning(0.1, step).measure(window, flags)
    assert not result["valid"] and reason in result["reason"]


def test_a_gpu_without_a_counter_has_no_energy(card):
    assert gpu.energy_counter(0)() == 0.0
    card.lost = True
    assert gpu.energy_counter(0) is None


@pytest.mark.parametrize("most", [0, 1, 5, 37, 64, 100])
@pytest.mark.parametrize("start", [1, 8, 64])
def test_the_boundary_is_found_under_a_pretended_memory_limit(most, start):
    freed, made = [], []

    def run(size):
        made.append(size)
        if size * 100 > most * 100 + 50:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")

    result = largest_batch(tries(run, out_of_memory, lambda: freed.append(1)), start, 100)
    assert result["fits"] == most and result["fails"] == (None if most == 100 else most + 1)
    assert result["tried"] == made and len(set(made)) == len(made) == len(freed) <= 14


def test_another_fault_is_no_boundary():
    def run(size):
        raise ValueError("something else")

    with pytest.raises(ValueError, match="something else"):
        largest_batch(tries(run, out_of_memory, lambda: None), 1, 4)


def test_memory_is_split_and_energy_stands_in_the_row():
    body = {
        "status": "ok",
        "samples": [{"e2e_ms": 10.0, "flags": [], "phases_ms": {"forward": 8.0, "sampler": 1.0}}],
        "memory": {"peak_allocated_mb": 100.0, "weights_mb": 60.0, "cache_mb": 20.0, "logits_mb": 5.0},
        "work": {},
        "largest_batch": {"fits": 37, "fails": 38, "tried": [37, 38]},
        "energy": {"joules_per_output": 9.0, "net_joules_per_output": 7.0, "valid": False},
    }
    row = resources(SimpleNamespace(body=body), None, 1.0)
    assert row["activations_mb"] == 15.0 and row["working_mb"] == 40.0 and row["largest_batch"] == 37
    assert (row["forward_share"], row["sampler_share"]) == (0.8, 0.1)
    assert (row["joules_per_output"], row["net_joules_per_output"], row["energy_valid"]) == (9.0, 7.0, False)


def test_a_compiled_cell_has_no_boundary_and_says_why():
    spec = SimpleNamespace(engine="compiled", prompts=[{}], batch=1)
    result = cell._largest_batch(None, spec, MeasureSettings(largest_batch=8), "cuda")
    assert result["fits"] is None and "fixed shapes" in result["reason"]
    assert cell._largest_batch(None, spec, MeasureSettings(largest_batch=8), "cpu") is None


def test_a_cell_finds_its_boundary_with_its_own_prompts(monkeypatch):
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    asked = []

    def run(indices, watch):
        asked.append(list(indices))
        if len(indices) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory (pretended)")

    spec = SimpleNamespace(engine="eager", prompts=[{}, {}, {}], batch=2)
    result = cell._largest_batch(SimpleNamespace(run=run), spec, MeasureSettings(largest_batch=8), "cuda")
    assert (result["fits"], result["fails"]) == (5, 6)
    assert asked[0] == [0, 1] and asked[1] == [0, 1, 2, 0], "prompts come again where there are too few"
