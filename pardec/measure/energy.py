"""Energy of a generation: the GPU's counter over a window of seconds, with and without the idle GPU's energy.

The counter (`nvmlDeviceGetTotalEnergyConsumption`, millijoules since the driver loaded) advances in steps of tens of
milliseconds, too coarse for one short generation: many run back to back, and idle power is measured just before.
A result from a short window or a disturbed GPU is kept and marked not valid.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

LEAST_S = 2.0
"""Shortest window, of work and of idle time, for 5 % accuracy with a counter that steps every tenth of a second."""
LEAST_STEPS = 10
"""Fewest steps the counter must have taken in the window of work."""


def measure_energy(
    run: Callable[[], Any],
    counter_mj: Callable[[], float],
    window_s: float,
    synchronize: Callable[[], None] = lambda: None,
    flags: Callable[[], list[str]] = list,
    now: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> dict:
    """Return the energy of one call of `run`, from an idle window and a window of work, at least `window_s` each.

    counter_mj: the device's energy counter. flags: returns the disturbances of the device since its last call. Returns
    `joules_per_output` (total), `net_joules_per_output` (above idle), `idle_w`, `work_w`, `runs`, `window_s`, `valid`,
    and `reason` where it is not.
    """
    synchronize()
    flags()
    begin, energy = now(), counter_mj()
    sleep(window_s)
    idle_s, idle_j = now() - begin, (counter_mj() - energy) / 1e3
    idle_w = idle_j / idle_s if idle_s > 0 else 0.0

    begin, energy, runs, steps, last = now(), counter_mj(), 0, 0, None
    while runs == 0 or now() - begin < window_s:
        run()
        synchronize()
        runs += 1
        seen = counter_mj()
        steps += last is not None and seen != last
        last = seen
    work_s, work_j = now() - begin, ((last or energy) - energy) / 1e3
    disturbed = flags()
    reason = None
    if min(idle_s, work_s) < LEAST_S:
        reason = f"a window of {min(idle_s, work_s):.2g} s is shorter than {LEAST_S:g} s"
    elif work_j <= 0 or (runs > LEAST_STEPS and steps < LEAST_STEPS):
        reason = "the counter hardly moved"
    elif disturbed:
        reason = f"disturbed: {', '.join(disturbed)}"
    return {
        "joules_per_output": work_j / runs,
        "net_joules_per_output": (work_j - idle_w * work_s) / runs,
        "idle_w": idle_w,
        "work_w": work_j / work_s if work_s > 0 else None,
        "runs": runs,
        "window_s": work_s,
        "valid": reason is None,
        "reason": reason,
    }
