"""A compiled step reads each layer's keys and values once and copies no cache, whatever its size."""

from __future__ import annotations

import pytest
import torch

from pardec.models.engines.registry import compile_model
from tests.reference.models import backbone


class Counted(Exception):
    """The graph was lowered and its bytes were counted; nothing need be built of it."""


def step_bytes(size: int, monkeypatch) -> tuple[int, int]:
    """Return the bytes that the graph of one decode step reads and writes by inductor's count, and those of the
    cache."""
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering

    counts = []

    def count(graph):
        graph.codegen()
        counts.append(graph.count_bytes()[0])
        raise Counted

    monkeypatch.setattr(GraphLowering, "compile_to_module", count)
    model = compile_model(backbone(True, layers=1, max_positions=4096), "cpu")
    cache = model.new_cache(1, size)
    cache.length = 100
    # Which vector instructions a compiler knows is asked by building programs, and changes no byte.
    kept = config.patch({"fx_graph_cache": False, "cpp.simdlen": 1})
    with kept, torch.inference_mode(), pytest.raises(BackendCompilerFailed, match="Counted"):
        model(torch.tensor([[5]]), cache=cache)
    (counted,) = counts
    return counted, cache.nbytes


def test_a_step_moves_the_cache_once(monkeypatch):
    (small, cache), (large, caches) = (step_bytes(size, monkeypatch) for size in (256, 4096))
    assert small > 0
    # Keys and values once, and the mask's bytes per column.
    assert large - small < 1.25 * (caches - cache), (small, large, cache, caches)
