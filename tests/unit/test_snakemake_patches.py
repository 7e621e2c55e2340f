"""What is changed in Snakemake: planning asks once, the scheduler sleeps, and a version that differs is named."""

from __future__ import annotations

import gc
import inspect
import threading
import time
from importlib.metadata import version

import pytest
import snakemake.common
import snakemake.rules
from snakemake.scheduling.job_scheduler import JobScheduler

from pardec.study import snakemake_patches
from pardec.study.snakemake_patches import OBJECTS, SEEN, lean_planning, look_again, patch_snakemake


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """What is changed is the process's own."""
    thresholds, plain = gc.get_threshold(), snakemake.common.get_function_params
    monkeypatch.setattr(snakemake.rules, "get_function_params", plain)
    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", JobScheduler._schedule_reevalutation)
    yield
    gc.set_threshold(*thresholds)
    snakemake.common.get_function_params = plain


def test_all_apply_to_the_version_that_is_pinned():
    assert version("snakemake") == SEEN
    assert patch_snakemake() == [] == patch_snakemake()
    assert JobScheduler._schedule_reevalutation is snakemake_patches.look_again
    assert gc.isenabled() and gc.get_threshold()[0] == OBJECTS


def test_what_a_later_version_lacks_is_named_in_a_line_and_left_alone(monkeypatch):
    monkeypatch.delattr(snakemake.common, "get_function_params")
    monkeypatch.delattr(JobScheduler, "_schedule_reevalutation")
    lines = patch_snakemake()
    assert len(lines) == 2 and all(SEEN in line and "\n" not in line for line in lines)
    assert not hasattr(snakemake.common, "get_function_params")
    assert not hasattr(JobScheduler, "_schedule_reevalutation")


def test_a_signature_is_asked_for_once(monkeypatch):
    asked = []
    real = inspect.signature
    monkeypatch.setattr(inspect, "signature", lambda func: asked.append(func) or real(func))
    assert lean_planning() and lean_planning()
    rule = lambda wildcards, input: None  # noqa: E731 (as rules write them)
    candidates = {"input": 1, "output": 2}
    for _ in range(5):
        assert snakemake.common.get_input_function_aux_params(rule, candidates) == {"input": 1}
    assert asked == [rule]
    other = lambda wildcards, **rest: None  # noqa: E731
    assert snakemake.common.get_input_function_aux_params(other, candidates) == candidates


class Scheduler:
    """As much of Snakemake's as is asked to look again."""

    def __init__(self):
        self._open_jobs = threading.Semaphore(0)

    def looks(self) -> int:
        count = 0
        while self._open_jobs.acquire(blocking=False):
            count += 1
        return count


def test_many_looks_asked_for_are_one():
    scheduler = Scheduler()
    before = threading.active_count()
    for _ in range(200):
        look_again(scheduler, 0.05)
    assert threading.active_count() == before + 1
    assert scheduler.looks() == 0
    time.sleep(0.3)
    assert scheduler.looks() == 1


def test_a_look_may_ask_for_the_next():
    scheduler = Scheduler()
    for _ in range(3):
        look_again(scheduler, 0.01)
        assert scheduler._open_jobs.acquire(timeout=5)
