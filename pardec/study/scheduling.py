"""A scheduler that does not keep a core busy beside the jobs that are timed.

Snakemake limits how many jobs start in a second, and looks again a second after each look, since there may be room
then. Each of these looks asks for another one, and so does each job that ends: with n jobs done there are n looks a
second, each over all jobs that are ready. Behind a few hundred cells that is a whole core (seen in 9.27), on a machine
whose other core is being timed. One look in waiting is enough.
"""

from __future__ import annotations

import threading
from typing import Any


def calm_scheduler() -> bool:
    """Let Snakemake's scheduler have at most one look in waiting; False where it has no such method to mend."""
    from snakemake.scheduling.job_scheduler import JobScheduler

    name = "_schedule_reevalutation"  # as Snakemake spells it
    if not hasattr(JobScheduler, name):
        return False
    setattr(JobScheduler, name, look_again)
    return True


def look_again(scheduler: Any, delay: float) -> None:
    """Wake `scheduler` in `delay` seconds, unless it will be woken already."""
    if getattr(scheduler, "_look_waits", False):
        return

    def look() -> None:
        # First, so that the look itself may ask for the next.
        scheduler._look_waits = False
        scheduler._open_jobs.release()

    scheduler._look_waits = True
    timer = threading.Timer(delay, look)
    timer.daemon = True  # the end of a run waits for nobody
    timer.start()
