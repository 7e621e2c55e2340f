"""Detection of NaN logits: argmax still returns a token for them, so such a cell would be timed instead of failing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pardec.common.lazy import lazy

torch = lazy("torch")


class NotFinite(ArithmeticError):
    """Logits are not a number."""


@contextmanager
def refuse_nan(*models: Any) -> Iterator[list[Any]]:
    """Check the outputs of every pass of `models` inside the block, which is not timed; yield the list of passes, one
    entry each.

    Raises:
        NotFinite: a pass returned NaN; raised at the end, so that nothing waits for the device in between.
    """
    passes: list[Any] = []

    def look(module: Any, args: Any, returned: Any) -> None:
        tensors = returned if isinstance(returned, tuple) else (returned,)
        floats = [
            value
            for value in tensors
            if torch.is_tensor(value) and value.is_floating_point() and value.numel()
        ]
        # The maximum is NaN if any value is, and needs no memory: peaks are measured in the same generation.
        passes.append(torch.stack([value.amax().isnan() for value in floats]).any() if floats else None)

    handles = [model.register_forward_hook(look) for model in models]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
    bad = [number for number, is_nan in enumerate(passes, 1) if is_nan is not None and bool(is_nan)]
    if bad:
        raise NotFinite(f"logits are NaN in {len(bad)} of {len(passes)} passes, first in pass {bad[0]}")
