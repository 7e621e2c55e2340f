"""The engine `compiled`: a pass as one compiled graph per shape, on keys and values at fixed addresses.

Plain modules (engine `eager`) launch every kernel of every layer from Python; a one-token step of an 8B model then
waits for the host. Here a pass, from the embedding to the logits, is captured whole by
`torch.compile(mode="reduce-overhead")`, which on CUDA replays it as one CUDA graph, and by inductor's C++ on a CPU
(Ansel et al., "PyTorch 2", ASPLOS 2024). A graph needs static shapes: a pass after `past` columns therefore gets that
number as a tensor, writes at columns counted from it, and attends to the whole preallocated cache through a mask. A
layer is compiled once and stamped out for all others. Where only part of the logits is asked for, norm and head stay
outside.

There is no fallback: if a model or a machine cannot be compiled, `NotImplementedError` gives the reason, and a cell
that requires it is `unsupported`.
"""

from __future__ import annotations

import importlib.util
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pardec.models.architectures.attention import AttentionPlan, Cache, Layout, Pair, attention_mask
from pardec.models.architectures.backbone import Backbone
from pardec.models.architectures.base import Placement, kept, padded_positions, tapped_layers
from pardec.models.engines.flex import NAME, Blocks, usable, visible_blocks, with_blocks
from pardec.models.engines.toolchain import cpp_compiler

GRAPHS = 64
"""Shapes that one model may be compiled for: a prompt pass, and a pass for each length that a decoder uses."""


def refuse_platform(device: str) -> None:
    """Raise NotImplementedError, with what is missing, unless this machine can compile for `device`."""
    kind = device.partition(":")[0]
    if kind not in ("cuda", "cpu"):
        raise NotImplementedError(f"engine compiled: there is none for device {kind}")
    if kind == "cpu":
        cpp_compiler("compiled")
    if kind == "cuda" and importlib.util.find_spec("triton") is None:
        raise NotImplementedError("engine compiled: Triton is not installed, which compiles kernels for CUDA")


def compiler(run: Callable, device: str) -> Callable:
    """Return `run` compiled as whole graphs of static shape: a graph break, or one shape too many, is an error."""
    settings = torch._dynamo.config
    settings.recompile_limit = max(settings.recompile_limit, GRAPHS)
    settings.fail_on_recompile_limit_hit = True
    mode = None
    if device.startswith("cuda"):
        mode = "reduce-overhead"
        # Tries neighbours of each kernel's tiles while compiling, as gpt-fast does.
        torch._inductor.config.coordinate_descent_tuning = True
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


class Static:
    """What a compiled model adds to its eager one: the graph of its method `step`, and lent caches."""

    static_shapes = True
    source: Any
    """The eager model, whose weights, settings and hooks it shares."""
    step: Callable[..., Any]
    """What a graph computes from tensors of static shapes."""
    caches: StaticCaches
    graph: Callable[..., Any]
    on_cuda: bool
    flex: bool
    """Whether masked passes attend by `pardec.models.engines.flex`: on CUDA, where its kernel compiles and is right."""
    padded: bool
    """Whether any batch is padded: then all batches run as padded ones, so that they share their graphs."""

    @classmethod
    def of(cls, model: Any, device: str) -> Any:
        """Return the static form of `model`, which shares its weights. device: "cpu" or "cuda"."""
        static = cls.__new__(cls)
        static.__dict__.update(model.__dict__)
        static.__dict__ |= {"source": model, "padded": False, "warmed": set(), "caches": StaticCaches()}
        static.__dict__ |= {"graph": compiler(static.step, device), "on_cuda": device.startswith("cuda")}
        static.flex = static.on_cuda and usable(
            model.info.heads,
            model.info.kv_heads,
            model.info.head_dim,
            next(weight.dtype for weight in model.parameters() if weight.is_floating_point()),
            torch.device(device),
        )
        return static

    @property
    def kernels(self) -> list[str]:
        """Names of kernels for attention that come before those that torch may choose."""
        return [NAME] if self.flex else []

    def blocks(self, mask: Tensor | None) -> Blocks | None:
        """Return the blocks by which a pass attends; None where torch chooses the kernel."""
        return visible_blocks(mask) if self.flex and mask is not None else None

    def uncompiled(self) -> Any:
        return self.source

    def new_cache(self, batch: int, size: int) -> Cache:
        return self.caches.take(batch, size, lambda: self.source.new_cache(batch, size))

    def replay(self, *inputs: Any) -> Any:
        """Return what the graph for these shapes returns; valid until the next pass of any compiled model."""
        if self.on_cuda:
            torch.compiler.cudagraph_mark_step_begin()
        return self.graph(*inputs)

    def lasting(self, result: Tensor) -> Tensor:
        """Return a result of `replay` in memory that no later pass overwrites."""
        return result.clone() if self.on_cuda else result


@dataclass
class Step:
    """The inputs of a compiled pass; what is no tensor selects a graph.

    tokens: [B, T] long; embedded: their inputs [B, T, hidden] where positions are learned, else None. past: [] long,
    columns before the pass. pad: [B] long or None. positions, columns, mask: of a layout, the mask as wide as the
    cache; None: those of a plain sequence. pairs: the caches of the layers or None. begins: whether the pass is the
    first of its cache, and attends to itself alone. whole: whether it attends to every column of the cache. taps:
    layers whose results are returned. reads: whether logits are returned in place of hidden states. chooses: whether
    the best logit and its token are, in place of all.
    """

    tokens: Tensor
    embedded: Tensor | None
    past: Tensor
    pad: Tensor | None
    positions: Tensor | None
    columns: Tensor | None
    mask: Tensor | None
    pairs: list[Pair] | None
    begins: bool
    whole: bool
    taps: tuple[int, ...] | None
    reads: bool
    chooses: bool


class StaticBackbone(Static, Backbone):
    """A backbone whose passes run compiled."""

    chooses = True
    """A greedy step can end in its token: `forward` takes `choose`."""

    def forward(
        self,
        tokens: Tensor,
        pad: Tensor | None = None,
        cache: Cache | None = None,
        keep: slice | Tensor | None = None,
        canvas_start: int | None = None,
        places: Tensor | None = None,
        layout: Layout | None = None,
        taps: tuple[int, ...] | None = None,
        choose: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        """Return logits, with taps also features; with `choose` the best logit and its token, [B, T] each, valid until
        the next pass."""
        past, filled = self.extent(tokens, cache, layout)
        length, embedded, mask = tokens.shape[1], None, None
        if pad is None and self.padded and layout is None:
            pad = tokens.new_zeros(len(tokens))
        if self.positions is not None:
            positions = None if pad is None else padded_positions(pad, past, filled)
            embedded = self.embed(tokens, Placement(positions, past, canvas_start, places, cache))
        if layout is not None:
            pad = None
            size = length if cache is None else cache.size
            if layout.mask is not None or filled < size or self.padded:
                mask = whole_mask(layout.mask, filled, size, (len(tokens), length), tokens.device)
        step = Step(
            tokens=alike(tokens),
            embedded=embedded,
            past=torch.full((), past, device=tokens.device),
            pad=alike(pad),
            positions=None if layout is None else alike(layout.positions.expand(len(tokens), -1)),
            columns=None if layout is None else alike(layout.columns),
            mask=mask,
            pairs=None if cache is None else cache.layers,
            begins=past == 0 and layout is None,
            whole=cache is not None and filled == cache.size and not self.config.causal and pad is None,
            taps=taps,
            reads=keep is None or length == 1,
            chooses=choose and (keep is None or length == 1),
        )
        x, tapped = self.replay(*vars(step).values())
        # A captured graph overwrites its previous results: logits and features outlive the pass and are copied, the
        # hidden states are read at once.
        if cache is not None:
            cache.length = filled
        if step.chooses:
            return x
        logits = self.lasting(x) if step.reads else self.read(self.normed(kept(x, keep)))
        if choose:
            return logits.max(-1)
        return logits if taps is None else (logits, torch.cat(tapped, -1))

    def step(self, *inputs: Any) -> tuple[Any, list[Tensor]]:
        """Return logits, choices or hidden states of a `Step`, and the results of its taps."""
        step = Step(*inputs)
        length, device = step.tokens.shape[1], step.tokens.device
        order = step.past + torch.arange(length, device=device)
        x = F.embedding(step.tokens, self.embedding) if step.embedded is None else step.embedded
        positions = step.positions
        if positions is None:
            positions = order if step.pad is None else (order - step.pad[:, None]).clamp(min=0)
        cos, sin = (self.cos[positions], self.sin[positions]) if self.config.rotary else (None, None)
        plan, columns = self._plan(step, order)
        blocks = self.blocks(plan.mask)

        def run(layer: nn.Module, index: int, x: Tensor) -> Tensor:
            pair = None if step.pairs is None else step.pairs[index]
            return run_layer(
                layer, x, cos, sin, plan.mask, blocks, columns, pair, plan.is_causal, plan.filled
            )

        x, tapped = tapped_layers(self.layers, step.taps, x, run)
        logits = self.read(self.normed(x)) if step.reads else x
        return (tuple(logits.max(-1)) if step.chooses else logits), tapped

    def _plan(self, step: Step, order: Tensor) -> tuple[AttentionPlan, Tensor | None]:
        """Return the plan of a pass without its writes, and the columns that it writes (None: from the first on).
        order: [T] long, the columns of a plain sequence."""
        length, causal = len(order), self.config.causal
        if step.begins:
            mask = attention_mask(causal, step.pad, 0, length, order.device)
            return AttentionPlan(mask, causal and mask is None and length > 1, 0, length), None
        if step.pairs is None:
            return AttentionPlan(step.mask, filled=length), None
        size = step.pairs[0][0].shape[2]
        mask = step.mask
        if step.positions is None and not step.whole:
            slots = torch.arange(size, device=order.device)
            mask = slots <= (order[:, None] if causal else order[-1:, None].expand(length, 1))
            if step.pad is not None:
                mask = mask & (slots >= step.pad[:, None, None])
            mask = mask.expand(len(step.tokens), length, size)[:, None]
        return AttentionPlan(mask, filled=size), order if step.columns is None else step.columns


@torch.compiler.nested_compile_region
def run_layer(
    layer: nn.Module,
    x: Tensor,
    cos: Tensor | None,
    sin: Tensor | None,
    mask: Tensor | None,
    blocks: Blocks | None,
    columns: Tensor | None,
    pair: Pair | None,
    is_causal: bool,
    filled: int,
) -> Tensor:
    """Return the result of a layer; as a region of its own it is compiled once for all layers."""
    writes = None if columns is None else [(slice(None), columns)]
    plan = with_blocks(AttentionPlan(mask, is_causal, 0, filled, writes), blocks)
    return layer(x, cos, sin, plan, pair)


def alike(tensor: Tensor | None) -> Tensor | None:
    """Return a contiguous tensor that selects the same graph whatever made it: in inference mode a tensor from outside
    is of another kind, for which everything would be compiled anew."""
    if tensor is None:
        return None
    same = tensor.is_inference() == torch.is_inference_mode_enabled()
    return packed(tensor if same else tensor.clone())


def packed(tensor: Tensor) -> Tensor:
    """Return a contiguous tensor with the strides of a new one. A piece of a wider tensor that has one row counts as
    contiguous whatever its stride is, and each stride would be compiled and captured anew."""
    return tensor.contiguous().view(-1).view(tensor.shape)


def whole_mask(
    mask: Tensor | None, filled: int, size: int, shape: tuple[int, int], device: torch.device
) -> Tensor:
    """Return the mask [B, 1, T, size] over a whole cache, of a mask [B or 1, 1, T, filled] (None: all of `filled`)."""
    rows, length = shape
    if mask is None:
        mask = (torch.arange(size, device=device) < filled)[None, None, None]
    else:
        mask = F.pad(mask, (0, size - mask.shape[-1]), value=False)
    return packed(mask.expand(rows, 1, length, size))
