"""The engine `compiled`: the layers as one compiled graph a shape, on keys and values at fixed addresses.

Plain modules (engine `eager`) launch every kernel of every layer from Python; a one-token step of an 8B model then
waits for the host. Here the layers are captured whole by `torch.compile(mode="reduce-overhead")`, which on CUDA
replays them as one CUDA graph, and by inductor's C++ on a CPU (Ansel et al., "PyTorch 2", ASPLOS 2024). A graph needs
static shapes: a pass after `past` columns therefore writes at column numbers held in a tensor, and sees the whole
preallocated cache through a mask. What depends on the text (which logits are wanted) stays outside.

Nothing falls back: where a model or a machine cannot be compiled, `NotImplementedError` says why, and a cell that asked
for it is `unsupported`.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import weakref
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import Cache

GRAPHS = 64
"""Shapes that one model may be compiled for: a prompt pass, and a pass for each length that a decoder uses."""
COMPILERS = ("g++", "clang++", "c++")


def refuse_platform(device: str) -> None:
    """Whether this machine can compile for `device`.

    Raises:
        NotImplementedError: it cannot; says what is missing.
    """
    kind = device.partition(":")[0]
    if kind not in ("cuda", "cpu"):
        raise NotImplementedError(f"engine compiled: there is none for device {kind}")
    named = os.environ.get("CXX")
    if kind == "cpu" and not any(shutil.which(name) for name in ([named] if named else COMPILERS)):
        raise NotImplementedError(
            f"engine compiled: no C++ compiler here (looked for {named or ', '.join(COMPILERS)})"
        )
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        raise NotImplementedError("engine compiled: Triton is not installed, which compiles kernels for CUDA")


def compiler(run: Callable, device: str) -> Callable:
    """`run` as graphs of static shape, each whole: a break, or one shape too many, is an error."""
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, GRAPHS)
    settings.fail_on_recompile_limit_hit = True
    mode = "reduce-overhead" if device.startswith("cuda") else None
    return torch.compile(run, mode=mode, dynamic=False, fullgraph=True)


class StaticCaches:
    """Preallocated caches by shape, at addresses that stay, since a captured graph writes where it wrote before."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], list[tuple[Tensor, Any]]] = {}

    def take(self, batch: int, size: int, make: Callable[[], Cache]) -> Cache:
        """A cache that nobody holds any more, forgotten but not cleared, or a new one. What a mask hides of it is
        multiplied by nought, so it is finite and no more."""
        waiting = self.kept.setdefault((batch, size), [])
        cache = make() if all(holder() is not None for _, holder in waiting) else None
        if cache is not None:
            torch._dynamo.mark_static_address(cache.store)
            waiting.append((cache.store, weakref.ref(cache)))
            return cache
        place = next(k for k, (_, holder) in enumerate(waiting) if holder() is None)
        store = waiting[place][0]
        cache = Cache.__new__(Cache)
        cache.store, cache.length, cache.table, cache.placed = store, 0, None, None
        cache.keys, cache.values = store.unbind(1)
        waiting[place] = (store, weakref.ref(cache))
        return cache


class StaticBackbone(Backbone):
    """A backbone whose layers run compiled; weights, settings and hooks are those of the model it is made from."""

    static_shapes = True
    padded: bool
    """Whether any batch is padded: then all run as if they were, so that they share their graphs."""

    @classmethod
    def of(cls, model: Backbone, device: str) -> StaticBackbone:
        static = cls.__new__(cls)
        static.__dict__.update(model.__dict__)
        static.padded = False
        static.__dict__["caches"] = StaticCaches()
        static.__dict__["graph"] = compiler(static._layers, device)
        static.__dict__["on_cuda"] = device.startswith("cuda")
        return static

    def new_cache(self, batch: int, size: int) -> Cache:
        return self.caches.take(batch, size, lambda: Backbone.new_cache(self, batch, size))

    def forward(self, tokens: Tensor, pad: Tensor | None = None, **rest: Any) -> Any:
        if pad is None and self.padded and rest.get("layout") is None:
            pad = tokens.new_zeros(len(tokens))
        return super().forward(tokens, pad, **rest)

    def run_layers(self, x, cos, sin, mask, is_causal, store, past, filled, slots, taps):
        """As the backbone's, by a graph of the shape of `x` and of the cache's size."""
        if store is not None and (past > 0 or slots is not None or filled != x.shape[1]):
            mask, slots = static_view(x, mask, store, past, filled, slots, self.padded)
            past, filled, is_causal = 0, store.shape[4], False
            if cos is not None and self.padded:
                cos, sin = (table.expand(len(x), -1, -1, -1).contiguous() for table in (cos, sin))
        if self.on_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        x, tapped = self.graph(x, cos, sin, mask, is_causal, store, past, filled, slots, taps)
        # A captured graph writes its results where it wrote them before; features outlive the pass, the stream is
        # read at once.
        return x, [part.clone() for part in tapped] if self.on_cuda else tapped

    def _layers(self, x, cos, sin, mask, is_causal, store, past, filled, slots, taps):
        return Backbone.run_layers(self, x, cos, sin, mask, is_causal, store, past, filled, slots, taps)


def static_view(
    x: Tensor,
    mask: Tensor | None,
    store: Tensor,
    past: int,
    filled: int,
    slots: tuple | None,
    padded: bool,
) -> tuple[Tensor | None, tuple]:
    """The mask [B, 1, T, S] over a whole cache of S columns (None where all of it is seen), and the columns that a pass
    of x [B, T, hidden] writes, as tensors."""
    batch, length, size = len(x), x.shape[1], store.shape[4]
    columns = torch.arange(size, device=x.device)
    if mask is not None:
        mask = F.pad(mask, (0, size - mask.shape[-1]), value=False)
    elif filled < size or padded:
        mask = (columns < filled)[None, None, None].expand(1, 1, length, size)
    if mask is not None:
        mask = mask.expand(batch, 1, length, size).contiguous()
    if slots is None:
        rows = torch.arange(batch, device=x.device)[:, None]
        slots = rows, slice(None), columns[past : past + length].expand(batch, length).contiguous()
    return mask, slots


def compile_model(model: Any, device: str) -> Any:
    """`model` on the engine `compiled`.

    Raises:
        NotImplementedError: the machine cannot compile, or the model has no static form.
    """
    refuse_platform(device)
    if type(model) is Backbone:
        return StaticBackbone.of(model, device)
    from pardec.models.engines import compiled_draft

    if type(model) is compiled_draft.DraftModel:
        return compiled_draft.StaticDraft.of(model, device)
    raise NotImplementedError(f"engine compiled: {type(model).__name__} has no static form")
