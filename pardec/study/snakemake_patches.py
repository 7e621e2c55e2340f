"""Patch the running Snakemake; a patch that no longer applies is skipped.

Each patch was needed in Snakemake 9.27.1. If a later version has moved the patched code, one line reports it, and the
run continues without the patch.
"""

from __future__ import annotations

import functools
import gc
import threading
from collections.abc import Callable
from typing import Any

SEEN = "9.27.1"
OBJECTS = 200_000
"""New objects between two runs of the garbage collector; about the size of a graph of a thousand jobs."""


def patch_snakemake() -> list[str]:
    """Apply all patches; logs and returns a line for each that no longer applies."""
    from importlib.metadata import version

    from snakemake.logging import logger

    lost = [without for apply, without in PATCHES if not apply()]
    lines = [f"Snakemake {version('snakemake')} is not {SEEN}: {without}" for without in lost]
    for line in lines:
        logger.warning(line)
    return lines


def lean_planning() -> bool:
    """Cache the signatures of the rules' functions, and run the garbage collector rarely.

    Snakemake otherwise inspects a function for every job and use. The graph of jobs lives until the end, so it has no
    garbage.
    """
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
    """Limit Snakemake's scheduler to one pending evaluation.

    The scheduler limits the jobs started per second, and evaluates again one second after each evaluation. Each
    evaluation requests another one, and so does each finished job: after n jobs there are n evaluations per second,
    each over all ready jobs. After a few hundred cells this occupies a core during timing.
    """
    from snakemake.scheduling.job_scheduler import JobScheduler

    name = "_schedule_reevalutation"  # Snakemake's spelling
    if not hasattr(JobScheduler, name):
        return False
    setattr(JobScheduler, name, look_again)
    return True


def look_again(scheduler: Any, delay: float) -> None:
    """Wake `scheduler` in `delay` seconds, unless a wake-up is pending."""
    if getattr(scheduler, "_look_waits", False):
        return

    def look() -> None:
        # First, so that the evaluation itself may request the next.
        scheduler._look_waits = False
        scheduler._open_jobs.release()

    scheduler._look_waits = True
    timer = threading.Timer(delay, look)
    timer.daemon = True  # do not block the end of a run
    timer.start()


PATCHES: list[tuple[Callable[[], bool], str]] = [
    (lean_planning, "planning of a large study takes half as long again"),
    (
        calm_scheduler,
        "its scheduler may keep a core busy while cells are timed; use --jobs with a core to spare",
    ),
]
"""Patches, with the consequence of each one's absence."""
