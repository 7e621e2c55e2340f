"""Decoders that take their process with them, or never let go of it."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

from pardec.quality.exact import Exact
from tests.faults.arms import Fake


class Segfault(Fake):
    def misbehave(self, new_tokens):
        ctypes.string_at(0)


class Killed(Fake):
    def misbehave(self, new_tokens):
        os.kill(os.getpid(), signal.SIGKILL)


class Deaf(Fake):
    """Hangs where no Python handler runs, with a child of its own."""

    def misbehave(self, new_tokens):
        sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path(os.environ["PARDEC_PIDS"]).write_text(f"{os.getpid()} {sleeper.pid}")
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        libc = ctypes.CDLL(None)
        while True:
            libc.sleep(600)


class Late(Fake):
    """Sleeps without end from its second batch on."""

    calls = 0

    def misbehave(self, new_tokens):
        Late.calls += 1
        if Late.calls > 1:
            time.sleep(600)


class KilledMetric(Exact):
    def _measure(self, outputs, context):
        os.kill(os.getpid(), signal.SIGKILL)


class Hungry(Fake):
    """Asks for more than the address space that is left to it, as on a host without memory."""

    def misbehave(self, new_tokens):
        used = int(Path("/proc/self/statm").read_text().split()[0]) * mmap.PAGESIZE
        resource.setrlimit(resource.RLIMIT_AS, (used + (64 << 20), resource.RLIM_INFINITY))
        import torch

        kept = []
        while True:
            kept.append(torch.zeros(4 << 20))
