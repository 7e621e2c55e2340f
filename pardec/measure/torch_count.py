"""Torch's count of a pass's operations, as a check of the analytic one.

`torch.utils.flop_counter` sees each operator that runs. It counts attention as if every position attended to every
other, and does not count quantised products or compiled graphs, so it gets eager passes of plain weights only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pardec.common.lazy import lazy

torch = lazy("torch")

MOST = 4
"""Passes of a generation that are counted: the first of each shape. A mode that sees every operator is slow."""


class TorchCount:
    """Wraps a model's `forward` and counts the passes that `expect` announced."""

    def __init__(self, model: Any):
        self.model, self.forward = model, model.forward
        self.seen: set[tuple[int, ...]] = set()
        self.flops = 0
        """Operations by torch's count."""
        self.analytic = 0.0
        """Operations of the same passes by our count."""
        self._due = False
        model.forward = self._counted

    def expect(self, shape: tuple[int, ...], analytic: float) -> None:
        """Announce the shape of the next pass and its operations by our count."""
        self._due = shape not in self.seen and len(self.seen) < MOST
        if self._due:
            self.seen.add(shape)
            self.analytic += analytic

    def ratio(self) -> float | None:
        """Return torch's count over ours; None where no pass was counted."""
        return self.flops / self.analytic if self.analytic else None

    def close(self) -> None:
        """Restore the model's own forward."""
        del self.model.forward

    def _counted(self, *args: Any, **kwargs: Any) -> Any:
        if not self._due:
            return self.forward(*args, **kwargs)
        self._due = False
        with _counter_mode()(display=False, custom_mapping=_unknown_to_torch()) as counter:
            output = self.forward(*args, **kwargs)
        self.flops += counter.get_total_flops()
        return output


def _counter_mode() -> type:
    """Return torch's counter without the compiler guard, whose import would cost each cell a second: only eager passes
    are counted here."""
    from torch.utils import flop_counter

    hidden = flop_counter._FlopCounterMode.__torch_dispatch__
    plain = getattr(hidden, "__wrapped__", None)
    if plain is not None and not hasattr(plain, "__dynamo_disable"):
        plain.__dynamo_disable = plain
    return flop_counter.FlopCounterMode


def _unknown_to_torch() -> dict[Any, Callable[..., int]]:
    """Return formulas for the CPU's attention kernel: torch has those of GPU kernels only."""
    from torch.utils.flop_counter import sdpa_flop_count

    def attention(query: Any, key: Any, value: Any, *_: Any, **__: Any) -> int:
        return sdpa_flop_count(query, key, value)

    return {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention}
