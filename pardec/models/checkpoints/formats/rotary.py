"""Rotary positions in config.json, old and new style, and Llama 3.1's scaled frequencies."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.models.architectures.config import Stretch
from pardec.models.checkpoints.formats.base import is_positive


def read_rotary(values: dict[str, Any], where: str, theta: float = 10_000.0) -> tuple[float, Stretch | None]:
    """Return the base of the rotary positions and their scaling, if any.

    transformers 5 nests them in `rope_parameters`; older files have `rope_theta` at the top level and a scaling in
    `rope_scaling`, which goes first where a file has both, as in transformers.

    Raises:
        UserError: a scaling that is not supported or lacks a key.
    """
    nested = values.get("rope_scaling") or values.get("rope_parameters") or {}
    if not isinstance(nested, dict):
        raise UserError(where, f"gives {nested!r} as rotary positions", "give an object with rope_type")
    by_layer = next((key for key, entry in nested.items() if isinstance(entry, dict)), None)
    if by_layer is not None:
        what = f"gives rotary positions by kind of layer ({by_layer!r})"
        raise UserError(where, what, "only one kind for all layers is supported")
    for source in (values, nested):
        if source.get("partial_rotary_factor", 1.0) not in (None, 1):
            what = f"sets partial_rotary_factor to {source['partial_rotary_factor']!r}"
            raise UserError(where, what, "only rotation of whole heads is supported")
    base = nested.get("rope_theta", values.get("rope_theta", theta))
    kind = nested.get("rope_type") or nested.get("type") or "default"
    if kind == "default":
        if nested.get("factor", 1) not in (None, 1):
            what = f"scales rotary positions by a factor of {nested['factor']!r} and names no type of scaling"
            raise UserError(where, what, "name its rope_type; only 'llama3' is supported")
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
    wrong = next((name for name in names if not is_positive(nested[name])), None)
    if wrong is not None:
        what = f"gives {nested[wrong]!r} as {wrong} of its rotary positions, which must be a number above 0"
        raise UserError(where, what, "fetch the config.json of this checkpoint again")
    if nested["low_freq_factor"] >= nested["high_freq_factor"]:
        what = "gives rotary positions a low_freq_factor that is not below their high_freq_factor"
        raise UserError(where, what, "fetch the config.json of this checkpoint again")
    return base, Stretch(**{name: nested[name] for name in names})
