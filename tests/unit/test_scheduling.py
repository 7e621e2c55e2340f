"""Snakemake's scheduler waits while a cell is timed, instead of taking a core of its own."""

from __future__ import annotations

import threading
import time

from pardec.study import scheduling
from pardec.study.scheduling import calm_scheduler, look_again


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


def test_snakemake_has_what_is_mended(monkeypatch):
    from snakemake.scheduling.job_scheduler import JobScheduler

    monkeypatch.setattr(JobScheduler, "_schedule_reevalutation", None)  # put back when the test ends
    assert calm_scheduler() and JobScheduler._schedule_reevalutation is scheduling.look_again
    monkeypatch.delattr(JobScheduler, "_schedule_reevalutation")
    assert not calm_scheduler()
