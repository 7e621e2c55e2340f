"""The work of a generation, counted from the model's shape: operations and bytes of its forward passes.

Counts are analytic, per forward pass, after Kaplan et al. (arXiv:2001.08361, appendix on compute): two operations per
parameter of each matrix product and token, plus the attention products. Bytes are the minimum traffic of a pass: the
weights once, the keys and values it attends to once. Torch's counter checks the analytic count on a few passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pardec.measure.torch_count import TorchCount


@dataclass
class Work:
    """Operations, bytes and forward passes of the model in one generation of a batch."""

    flops: float = 0.0
    bytes: float = 0.0
    forwards: int = 0


class CountingModel:
    """Hooks a model's `forward` during one untimed generation and sums the work of its passes.

    beside: whether torch's counter runs too; only possible where operators run one by one.
    """

    def __init__(self, model: Any, beside: bool = False):
        self.info = model.info
        self.size = next(model.parameters()).element_size()
        self.work = Work()
        self.cache_bytes = 0
        """Largest key-value cache seen, in bytes."""
        self.logits_bytes = 0
        """Largest logits of one pass, in bytes."""
        self.torch = TorchCount(model) if beside and not getattr(self.info, "matmul_bytes", None) else None
        self.handle = model.register_forward_pre_hook(self._count, with_kwargs=True)

    def __enter__(self) -> CountingModel:
        return self

    def __exit__(self, *_: Any) -> None:
        self.handle.remove()
        if self.torch is not None:
            self.torch.close()

    def _count(self, module: Any, args: tuple, kwargs: dict) -> None:
        tokens = args[0] if args else kwargs["tokens"]
        cache, keep, layout = kwargs.get("cache"), kwargs.get("keep"), kwargs.get("layout")
        rows, length = tokens.shape
        past = cache.length if cache is not None else 0
        if layout is not None:
            past = layout.filled - length
        kept = _kept(keep, length)
        count_classes = getattr(module, "head_classes", None)
        classes = self.info.vocab_size if count_classes is None else count_classes(*args, **kwargs)
        flops = pass_flops(self.info, rows, length, past, kept, classes)
        if self.torch is not None:
            self.torch.expect((rows, length, kept), flops)
        self.work.flops += flops
        self.work.bytes += pass_bytes(self.info, rows, length, past, self.size, classes)
        self.work.forwards += 1
        self.logits_bytes = max(self.logits_bytes, rows * kept * classes * self.size)
        if cache is not None:
            self.cache_bytes = max(self.cache_bytes, cache.nbytes)


def _kept(keep: Any, length: int) -> int:
    """Return the number of positions per row for which logits are computed."""
    if keep is None:
        return length
    return len(range(*keep.indices(length))) if isinstance(keep, slice) else keep.shape[1]


def pass_flops(info: Any, rows: int, length: int, past: int, kept: int, classes: int | None = None) -> float:
    """Return the operations of one forward pass over `rows` x `length` tokens after `past` cached ones, with logits at
    `kept` positions per row over `classes` tokens (None: the vocabulary)."""
    body = info.matmul_parameters - info.hidden * info.vocab_size
    head = info.hidden * (info.vocab_size if classes is None else classes)
    products = 2 * rows * (body * length + head * kept)
    span = past + length if info.attention != "causal" else past + (length + 1) / 2
    attention = 4 * rows * info.layers * info.heads * info.head_dim * length * span
    return products + attention


def pass_bytes(info: Any, rows: int, length: int, past: int, size: int, classes: int | None = None) -> float:
    """Return the bytes that one forward pass must move: the weights, and the keys and values it attends to."""
    cache = 2 * info.layers * info.kv_heads * info.head_dim * (past + length) * rows
    stored = getattr(info, "matmul_bytes", None)
    unread = 0 if classes is None else info.hidden * (info.vocab_size - classes)
    return size * cache + (size * (info.matmul_parameters - unread) if stored is None else stored)
