"""A pretended card around the pretended device: events, memory counters and properties that the harness asks for."""

from __future__ import annotations

import time
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from unittest import mock

import torch

from tests.reference.pretended import PretendedCuda


class Event:
    """An event of a device that is never behind its host."""

    def __init__(self, enable_timing: bool = False):
        self.ns = 0

    def record(self) -> None:
        self.ns = time.perf_counter_ns()

    def elapsed_time(self, end: Event) -> float:
        return (end.ns - self.ns) / 1e6


ANSWERS = {
    "Event": Event,
    "synchronize": lambda *_: None,
    "current_device": lambda: 0,
    "get_device_properties": lambda *_: SimpleNamespace(name="pretended", total_memory=80e9),
    "get_device_capability": lambda *_: (9, 0),
    "mem_get_info": lambda *_: (2**24, 2**24),
    "empty_cache": lambda: None,
    "reset_peak_memory_stats": lambda *_: None,
    "memory_snapshot": lambda: [],
    "max_memory_allocated": lambda *_: 10**8,
    "max_memory_reserved": lambda *_: 10**8,
}


@contextmanager
def pretended_card():
    """Yield the pretended device of a machine whose card answers what the harness asks."""
    with ExitStack() as stack:
        for name, answer in ANSWERS.items():
            stack.enter_context(mock.patch.object(torch.cuda, name, answer))
        yield stack.enter_context(PretendedCuda())
