"""A compiled step reads each layer's keys and values once and copies no cache, whatever its size."""

from __future__ import annotations

import logging
import shutil

import pytest
import torch

from pardec.models.engines.compiled import COMPILERS
from pardec.models.engines.registry import compile_model
from tests.reference.models import backbone

pytestmark = pytest.mark.skipif(
    not any(map(shutil.which, COMPILERS)),
    reason="no C++ compiler on this machine, so nothing can be compiled",
)


def step_bytes(size: int) -> tuple[int, int]:
    """Return the bytes that the graph of one decode step reads and writes by inductor's count, and those of the
    cache."""
    from torch._inductor import compile_fx, config, metrics

    log, before = compile_fx.inductor_metrics_log, compile_fx.inductor_metrics_log.level
    kept = log.propagate
    model = compile_model(backbone(True, layers=2, max_positions=4096), "cpu")
    try:
        log.setLevel(logging.INFO)  # only then does inductor count
        log.propagate = False
        with config.patch(force_disable_caches=True), torch.inference_mode():
            metrics.reset()
            cache = model.new_cache(1, size)
            cache.length = 100
            model(torch.tensor([[5]]), cache=cache)
            return metrics.num_bytes_accessed, cache.nbytes
    finally:
        log.setLevel(before)
        log.propagate = kept


def test_a_step_moves_the_cache_once():
    (small, cache), (large, caches) = step_bytes(256), step_bytes(4096)
    assert small > 0
    # Keys and values once, and the mask's bytes per column.
    assert large - small < 1.25 * (caches - cache), (small, large, cache, caches)
