"""What this workflow changes in a running Snakemake, and what happens where a change no longer applies.

Each was seen to be needed in Snakemake 9.27.1. A later version may have moved what is changed: then one line says so,
and the run goes on without.
"""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable
from typing import Any

SEEN = "9.27.1"
OBJECTS = 200_000
"""New objects between two looks of the garbage collector; what a graph of a thousand jobs makes."""


def patch_snakemake() -> list[str]:
    """Apply all changes; logs and returns a line for each that no longer applies."""
    from importlib.metadata import version

    from snakemake.logging import logger

    lost = [without for apply, without in PATCHES if not apply()]
    lines = [f"Snakemake {version('snakemake')} is not {SEEN}: {without}" for without in lost]
    for line in lines:
        logger.warning(line)
    return lines


def lean_planning() -> bool:
    """Let Snakemake ask Python for the signature of each function of our rules once, where it asks again for every
    job and use, and let garbage be looked for rarely in a graph of jobs that lives until the end."""
    import snakemake.common
    import snakemake.rules

    gc.set_threshold(OBJECTS, 50, 100)
    name = "get_function_params"
    if not hasattr(snakemake.common, name) or not hasattr(snakemake.rules, name):
        return False
    plain = getattr(snakemake.common, name)
    cached = plain if hasattr(plain, "cache_info") else functools.cache(plain)
    for module in (snakemake.common, snakemake.rules):
        setattr(module, name, cached)
    return True


def calm_scheduler() -> bool:
    """Let Snakemake's scheduler have at most one look in waiting.

    It limits how many jobs start in a second, and looks again a second after each look, since there may be room then.
    Each of these looks asks for another one, and so does each job that ends: with n jobs done there are n looks a
    second, each over all jobs that are ready. Behind a few hundred cells that is a whole core, on a machine whose other
    core is being timed.
    """
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


PATCHES: list[tuple[Callable[[], bool], str]] = [
    (lean_planning, "planning of a large study takes half as long again"),
    (
        calm_scheduler,
        "its scheduler may keep a core busy while cells are timed; use --jobs with a core to spare",
    ),
]
"""Each change, and what happens without it."""
