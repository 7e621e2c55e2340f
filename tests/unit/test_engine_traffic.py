"""A compiled step reads each layer's keys and values once and copies no cache, whatever its size."""

from __future__ import annotations

import pytest
import torch

from pardec.models.engines.registry import compile_model
from tests.reference.compiled import compiled_bytes
from tests.reference.models import backbone


def step_bytes(size: int, monkeypatch) -> tuple[int, int]:
    """Return the bytes that the graph of one decode step reads and writes, and those of the cache."""
    model = compile_model(backbone(True, layers=1, max_positions=4096), "cpu")
    cache = model.new_cache(1, size)
    cache.length = 100
    return compiled_bytes(lambda: model(torch.tensor([[5]]), cache=cache), monkeypatch), cache.nbytes


@pytest.mark.thorough  # lowers two graphs
def test_a_step_moves_the_cache_once(monkeypatch):
    (small, cache), (large, caches) = (step_bytes(size, monkeypatch) for size in (256, 4096))
    assert small > 0
    # Keys and values once, and the mask's bytes per column.
    assert large - small < 1.25 * (caches - cache), (small, large, cache, caches)
