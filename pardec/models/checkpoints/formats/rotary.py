"""Rotary positions as config.json says them, old and new style, and Llama 3.1's stretched frequencies."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from math import pi
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Stretch:
    """Llama 3.1's scaling (Dubey et al. 2024, arXiv:2407.21783): waves longer than the context that the model
    was first trained on are slowed by `factor`, short ones stay, those between are blended."""

    factor: float
    low_freq_factor: float
    high_freq_factor: float
    original_max_position_embeddings: int

    def apply(self, rates: Tensor) -> Tensor:
        """The scaled angle a position, [head_dim / 2] float32."""
        turns = self.original_max_position_embeddings * rates / (2 * pi)
        blend = (turns - self.low_freq_factor) / (self.high_freq_factor - self.low_freq_factor)
        kept = blend.clamp(0, 1)
        return rates * kept + rates / self.factor * (1 - kept)

    def to_json(self) -> dict[str, Any]:
        return {"rope_type": "llama3", **asdict(self)}


def read_rotary(values: dict[str, Any], where: str, theta: float = 10_000.0) -> tuple[float, Stretch | None]:
    """The base of the rotary positions and their scaling, if any.

    transformers 5 nests them in `rope_parameters`; older files hold `rope_theta` at the top and a scaling in
    `rope_scaling`.

    Raises:
        UserError: a scaling that is not supported or lacks a key.
    """
    nested = values.get("rope_parameters") or values.get("rope_scaling") or {}
    base = nested.get("rope_theta", values.get("rope_theta", theta))
    kind = nested.get("rope_type") or nested.get("type") or "default"
    if kind == "default":
        return base, None
    if kind != "llama3":
        raise UserError(
            where, f"asks for rotary positions of type {kind!r}", "only 'default' and 'llama3' are supported"
        )
    names = Stretch.__dataclass_fields__
    lacking = [name for name in names if name not in nested]
    if lacking:
        raise UserError(
            where,
            f"asks for rotary positions of type {kind!r} without {lacking[0]!r}",
            "fetch the config.json of this checkpoint again",
        )
    return base, Stretch(**{name: nested[name] for name in names})
