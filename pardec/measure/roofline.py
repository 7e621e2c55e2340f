"""Estimated time and memory of a generation on a GPU, before it is run.

The roofline model (Williams, Waterman and Patterson, "Roofline", CACM 2009): a pass takes as long as its
operations at the GPU's matmul rate, or its bytes at the GPU's bandwidth, or its kernels' launches, whichever
is longest. Nothing here is measured; a report labels such estimates wherever it prints them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pardec.measure.work import pass_bytes, pass_flops

if TYPE_CHECKING:
    from pardec.decoding.base import Passes
    from pardec.models.architectures.config import ModelInfo


REACHED_BANDWIDTH, REACHED_MATMUL = 0.75, 0.6
"""Shares of the data sheet's rates that good kernels reach, so that a plan rather overestimates."""
LAUNCHES = 14
"""Kernels of a layer in eager mode."""
LAUNCH_S = 6e-6
"""Seconds that the host takes to launch a kernel; launches overlap with the work of the GPU."""
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of a number."""
STREAM = 8
"""Copies of the hidden states that a pass keeps at once, its widest layer's inner activations apart."""
RESERVED_BYTES = 1e9
"""What driver, libraries and the allocator's rounding take."""


@dataclass(frozen=True)
class Card:
    """A GPU by its data sheet: dense 16-bit matmul rate, without sparsity; float32 rate without tensor cores, since
    torch does not use TF32 by default."""

    memory_gb: float
    bandwidth_gb_s: float
    matmul_tflop_s: float
    float32_tflop_s: float

    def matmul_flop_s(self, size: int) -> float:
        """Return the operations per second of matmuls of numbers of `size` bytes."""
        return 1e12 * (self.float32_tflop_s if size == 4 else self.matmul_tflop_s)


CARDS = {
    "h200": Card(141, 4800, 989, 67),
    "h100": Card(80, 3350, 989, 67),
    "a100-80gb": Card(80, 2039, 312, 19.5),
    "a100-40gb": Card(40, 1555, 312, 19.5),
    "l40s": Card(48, 864, 362, 91.6),
    "rtx-4090": Card(24, 1008, 165, 82.6),
    "a10": Card(24, 600, 125, 31.2),
}
"""Data sheets of NVIDIA."""


def pass_s(card: Card, info: ModelInfo, rows: int, length: int, past: int, kept: int, size: int) -> float:
    """Return the seconds of one forward pass over `rows` x `length` tokens after `past`, with `kept` logits per row."""
    work = pass_flops(info, rows, length, past, kept) / (card.matmul_flop_s(size) * REACHED_MATMUL)
    traffic = pass_bytes(info, rows, length, past, size) + 3 * rows * kept * info.vocab_size * size
    moved = traffic / (card.bandwidth_gb_s * 1e9 * REACHED_BANDWIDTH)
    return max(work, moved, info.layers * LAUNCHES * LAUNCH_S)


def generation_s(card: Card, info: ModelInfo, rows: int, passes: Iterable[Passes], size: int) -> float:
    """Return the seconds of all passes of one generation of a batch of `rows`."""
    return sum(one.count * pass_s(card, info, rows, one.length, one.past, one.kept, size) for one in passes)


def memory_bytes(info: ModelInfo, rows: int, passes: Iterable[Passes], size: int) -> float:
    """Return the peak bytes of one generation beyond the weights: cache, logits and activations of the largest pass."""
    largest = 0.0
    for one in passes:
        cache = 2 * info.layers * info.kv_heads * info.head_dim * (one.past + one.length) * size
        logits = one.kept * info.vocab_size * size * 2
        stream = one.length * (STREAM * info.hidden + 3 * info.mlp) * size
        largest = max(largest, rows * ((cache if one.cached else 0) + logits + stream))
    return largest
