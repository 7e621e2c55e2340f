"""What inductor says of the graphs that it makes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch


class Counted(Exception):
    """The graph was lowered and its bytes were counted; nothing need be built of it."""


def compiled_bytes(call: Callable[[], object], monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the bytes that the one graph which `call` compiles reads and writes, by inductor's count."""
    from torch._dynamo.exc import BackendCompilerFailed
    from torch._inductor import config
    from torch._inductor.graph import GraphLowering

    counts = []

    def count(graph):
        graph.codegen()
        counts.append(graph.count_bytes()[0])
        raise Counted

    monkeypatch.setattr(GraphLowering, "compile_to_module", count)
    # Which vector instructions a compiler knows is asked by building programs, and changes no byte.
    kept = config.patch({"fx_graph_cache": False, "cpp.simdlen": 1})
    with kept, torch.inference_mode(), pytest.raises(BackendCompilerFailed, match="Counted"):
        call()
    (counted,) = counts
    return counted
