"""A model whose logits are NaN still decodes: argmax finds a token. Such a cell must fail, not be timed."""

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
    """Look at what every pass of `models` returns meanwhile, untimed; gives the list of passes seen, one entry each.

    Raises:
        NotFinite: a pass returned NaN; told at the end, so that nothing waits for the device in between.
    """
    passes: list[Any] = []

    def look(module: Any, args: Any, returned: Any) -> None:
        tensors = returned if isinstance(returned, tuple) else (returned,)
        found = [
            value
            for value in tensors
            if torch.is_tensor(value) and value.is_floating_point() and value.numel()
        ]
        # The largest of values is NaN where one of them is, and takes no memory to find: peaks are read meanwhile.
        passes.append(torch.stack([value.amax().isnan() for value in found]).any() if found else None)

    handles = [model.register_forward_hook(look) for model in models]
    try:
        yield passes
    finally:
        for handle in handles:
            handle.remove()
    bad = [number for number, found in enumerate(passes, 1) if found is not None and bool(found)]
    if bad:
        raise NotFinite(f"logits are NaN in {len(bad)} of {len(passes)} passes, first in pass {bad[0]}")
