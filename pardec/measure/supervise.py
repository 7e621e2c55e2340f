"""Watch a job's process from outside and report the endings that it cannot report itself.

A cell that a signal ends (the kernel out of memory, a fault in a library) writes no record, and one that hangs in
compiled code never runs the handler of its alarm. So the process that Snakemake starts does not measure: it starts
the process that does, waits, and reports its outcome. Like `pardec.measure.handover`, it imports little.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import NamedTuple

from pardec.measure import handover

GRACE_S = 30.0
"""Seconds beyond a cell's limit before it is ended from outside, for imports and for writing the record."""
LIMIT_S = 3600.0
"""Seconds that a job which is not timed may take, where the study names no other limit."""
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals by which a user stops a run; they are not a result, and the cell runs again."""


class Lost(NamedTuple):
    """A cell's process that ended without a record: `status` and `reason` are those of the record to be written."""

    status: str
    reason: str
    launch: str


def supervise(argv: list[str], timeout_s: float, fresh: bool) -> int | Lost:
    """Run `argv` (script and arguments) in a separate process; return its exit status, or how it was lost.

    timeout_s: the cell's limit. fresh: start a new interpreter even if a forked child is available.
    """
    kills = oom_kills()
    launch = "fresh" if fresh else "forked"
    try:
        status = None if fresh else handover.run(argv, timeout_s + GRACE_S)
        if status is None:
            launch = "fresh"
            status = run_fresh(argv, timeout_s + GRACE_S)
    except TimeoutError:
        reason = f"longer than {timeout_s:g} s; its own alarm did not end it, so it was killed"
        return Lost("timeout", reason, launch)
    number = status - 128
    if number <= 0 or number in INTERRUPTS:
        return status
    name = signal.Signals(number).name if number in list(signal.Signals) else f"signal {number}"
    if number == signal.SIGKILL and oom_kills() > kills:
        return Lost("oom", "its process was killed by the system, which ran out of memory", launch)
    who = "; the sender is not known" if number == signal.SIGKILL else ""
    return Lost("failed", f"its process was ended by {name}{who}", launch)


def moment(seconds: float) -> str:
    """Return a value of `time.time()` as provenance has it."""
    from datetime import UTC, datetime

    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def option(argv: list[str], name: str) -> str | None:
    """Return the value of an option of a command line; None where it is left out. The script's own parser, which takes
    longer to load, refuses what is wrong."""
    value = None
    for word, follows in zip(argv, [*argv[1:], None], strict=True):
        if word == name:
            value = follows
        elif word.startswith(f"{name}="):
            value = word[len(name) + 1 :]
    return value


def limit(argv: list[str]) -> float:
    """Return the limit in seconds that a job which is not timed was given; the usual one where it is none."""
    try:
        seconds = float(option(argv, "--timeout-s") or LIMIT_S)
    except ValueError:
        return LIMIT_S
    return seconds if 0 < seconds < float("inf") else LIMIT_S


def starts_fresh(isolation: str, device: str) -> bool:
    """Return whether a cell gets a new interpreter. isolation: as in `MeasureSettings`. Imports no torch."""
    if isolation != "auto":
        return isolation == "fresh"
    return device.startswith("cuda") or (device == "auto" and os.path.exists("/dev/nvidiactl"))


def run_fresh(argv: list[str], limit_s: float) -> int:
    """Run `argv` in a new interpreter and process group; return the exit status as `handover.run` does.

    Raises:
        TimeoutError: it took longer and was killed with its descendants.
    """
    import subprocess
    from contextlib import suppress

    environment = {**os.environ, handover.LAUNCH: "fresh"}
    process = subprocess.Popen(
        [sys.executable, *argv], env=environment, start_new_session=True, preexec_fn=_die_with_parent
    )
    try:
        status = process.wait(limit_s)
    except BaseException as error:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        if isinstance(error, subprocess.TimeoutExpired):
            raise TimeoutError from None
        raise
    return status if status >= 0 else 128 - status


def _die_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies; on other systems it runs to its end."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    except Exception:
        pass


def oom_kills() -> int:
    """Return the number of processes that the kernel has killed for lack of memory; 0 if it does not report it."""
    total = 0
    try:
        with open("/proc/vmstat") as file:
            for line in file:
                if line.startswith("oom_kill "):
                    total += int(line.split()[1])
    except (OSError, ValueError):
        pass
    return total


def lost_facts(lost: Lost, device: str, started: float) -> dict:
    """Return the measured part of a lost cell's record: no samples, and the reason.

    started: `time.time()` at the start of the job.
    """
    import time

    from pardec.measure import device as machine

    name = machine.resolve(device)
    return {
        "status": lost.status,
        "reason": lost.reason,
        "samples": [],
        "reference_samples": None,
        "device": {"name": name, "before": None, "after": machine.state(name)},
        "job_s": time.time() - started,
    }
