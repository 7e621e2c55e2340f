"""Rotary positions in config.json, old and new style, and Llama 3.1's scaled frequencies."""

from __future__ import annotations

from typing import Any

from pardec.common.errors import UserError
from pardec.models.architectures.config import Stretch


def read_rotary(values: dict[str, Any], where: str, theta: float = 10_000.0) -> tuple[float, Stretch | None]:
    """Return the base of the rotary positions and their scaling, if any.

    transformers 5 nests them in `rope_parameters`; older files have `rope_theta` at the top level and a scaling in
    `rope_scaling`.

    Raises:
        UserError: a scaling that is not supported or lacks a key.
    """
    nested = values.get("rope_parameters") or values.get("rope_scaling") or {}
    if not isinstance(nested, dict):
        raise UserError(where, f"gives {nested!r} as rotary positions", "give an object with rope_type")
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
