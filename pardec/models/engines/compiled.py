"""The engine `compiled`: the layers as one compiled graph per shape, on keys and values at fixed addresses.

Plain modules (engine `eager`) launch every kernel of every layer from Python; a one-token step of an 8B model then
waits for the host. Here the layers are captured whole by `torch.compile(mode="reduce-overhead")`, which on CUDA
replays them as one CUDA graph, and by inductor's C++ on a CPU (Ansel et al., "PyTorch 2", ASPLOS 2024). A graph needs
static shapes: a pass after `past` columns therefore writes at column numbers given as a tensor, and attends to the
whole preallocated cache through a mask. Parts that depend on the text (the choice of logits) stay outside.

There is no fallback: if a model or a machine cannot be compiled, `NotImplementedError` gives the reason, and a cell
that requires it is `unsupported`.
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

from pardec.models.architectures.attention import AttentionPlan, Cache, Pair
from pardec.models.architectures.backbone import Backbone

GRAPHS = 64
"""Shapes that one model may be compiled for: a prompt pass, and a pass for each length that a decoder uses."""
COMPILERS = ("g++", "clang++", "c++")


def refuse_platform(device: str) -> None:
    """Raise NotImplementedError, with what is missing, unless this machine can compile for `device`."""
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
    """Return `run` compiled as whole graphs of static shape: a graph break, or one shape too many, is an error."""
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, GRAPHS)
    settings.fail_on_recompile_limit_hit = True
    mode = "reduce-overhead" if device.startswith("cuda") else None
    return torch.compile(run, mode=mode, dynamic=False, fullgraph=True)


class StaticCaches:
    """Preallocated caches by shape, at fixed addresses, since a captured graph always writes to the same memory."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, int], list[tuple[list[Pair], Any]]] = {}

    def take(self, batch: int, size: int, make: Callable[[], Cache]) -> Cache:
        """Return a free cache of this shape (contents stale) or a new one; masked columns get zero weight, so stale
        values only need to be finite."""
        waiting = self.kept.setdefault((batch, size), [])
        place = next((k for k, (_, holder) in enumerate(waiting) if holder() is None), None)
        if place is None:
            cache = make()
            for pair in cache.layers:
                for tensor in pair:
                    torch._dynamo.mark_static_address(tensor)
            waiting.append((cache.layers, weakref.ref(cache)))
            return cache
        layers = waiting[place][0]
        cache = Cache.over(layers)
        waiting[place] = (layers, weakref.ref(cache))
        return cache


class StaticBackbone(Backbone):
    """A backbone whose layers run compiled; it shares weights, settings and hooks with its source model."""

    static_shapes = True
    caches: StaticCaches
    padded: bool
    """Whether any batch is padded: then all batches run as padded ones, so that they share their graphs."""

    @classmethod
    def of(cls, model: Backbone, device: str) -> StaticBackbone:
        static = cls.__new__(cls)
        static.__dict__.update(model.__dict__)
        static.padded = False
        static.__dict__["source"], static.__dict__["warmed"] = model, set()
        static.__dict__["caches"] = StaticCaches()
        static.__dict__["graph"] = compiler(static._layers, device)
        static.__dict__["on_cuda"] = device.startswith("cuda")
        return static

    def uncompiled(self) -> Backbone:
        return self.source

    def new_cache(self, batch: int, size: int) -> Cache:
        return self.caches.take(batch, size, lambda: Backbone.new_cache(self, batch, size))

    def forward(self, tokens: Tensor, pad: Tensor | None = None, **rest: Any) -> Any:
        if pad is None and self.padded and rest.get("layout") is None:
            pad = tokens.new_zeros(len(tokens))
        return super().forward(tokens, pad, **rest)

    def run_layers(self, x: Tensor, cos: Any, sin: Any, plan: Any, cache: Any, taps: Any) -> Any:
        """Return the result of `Backbone.run_layers`, from the graph for the shape of `x` and the cache's size."""
        mask, is_causal, columns, pairs = plan.mask, plan.is_causal, None, None
        if cache is not None:
            pairs, is_causal = cache.layers, plan.is_causal and plan.past == 0
            prompt = plan.past == 0 and plan.writes is None and plan.filled == x.shape[1]
            if not prompt:
                mask, columns = static_view(x, plan, cache.size, self.padded)
                is_causal = False
                if cos is not None and self.padded:
                    cos, sin = (table.expand(len(x), -1, -1, -1).contiguous() for table in (cos, sin))
        if self.on_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        x, tapped = self.graph(x, cos, sin, mask, is_causal, pairs, columns, taps)
        # A captured graph overwrites its previous results: features outlive the pass and are copied, the hidden states
        # are read at once.
        return x, [part.clone() for part in tapped] if self.on_cuda else tapped

    def _layers(
        self, x: Tensor, cos: Any, sin: Any, mask: Any, is_causal: bool, pairs: Any, columns: Any, taps: Any
    ) -> Any:
        """Run the layers with static shapes. columns: [B, T], in which the pass writes; None at the start of a
        cache."""
        if columns is None:
            plan = AttentionPlan(mask, is_causal, 0, x.shape[1])
        else:
            plan = AttentionPlan(mask, False, 0, mask_width(mask, pairs), [(slice(None), columns)])
        tapped = []
        for index, layer in enumerate(self.layers):
            x = layer(x, cos, sin, plan, None if pairs is None else pairs[index])
            if taps is not None and index in taps:
                tapped.append(x)
        return x, tapped


def mask_width(mask: Tensor | None, pairs: list[Pair]) -> int:
    """Return the number of columns that a pass over a whole cache attends to."""
    return pairs[0][0].shape[2] if mask is None else mask.shape[-1]


def static_view(x: Tensor, plan: AttentionPlan, size: int, padded: bool) -> tuple[Tensor | None, Tensor]:
    """Return the mask [B, 1, T, S] over a whole cache of `size` columns (None where all are attended to), and the
    columns [B, T] that a pass of x [B, T, hidden] writes, as tensors."""
    batch, length = len(x), x.shape[1]
    mask = plan.mask
    if mask is not None:
        mask = F.pad(mask, (0, size - mask.shape[-1]), value=False)
    elif plan.filled < size or padded:
        mask = (torch.arange(size, device=x.device) < plan.filled)[None, None, None].expand(
            1, 1, length, size
        )
    if mask is not None:
        mask = mask.expand(batch, 1, length, size).contiguous()
    if plan.writes is None:
        columns = torch.arange(plan.past, plan.past + length, device=x.device).expand(batch, length)
    else:
        columns = plan.writes[0][1]
    return mask, columns.contiguous()


def refused(error: BaseException) -> bool:
    """Return whether the compiler reports code or shapes as unsupported, as opposed to any other fault."""
    kinds = ("Unsupported", "FailOnRecompileLimitHit", "RecompileLimitExceeded")
    return type(error).__module__.startswith("torch._dynamo") and type(error).__name__ in kinds
