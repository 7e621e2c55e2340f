"""The index of weights that lie in several files. Light: fetching a model imports no torch."""

from __future__ import annotations

from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json


def shard_names(index: Path) -> list[str]:
    """The files that an index of weights names.

    Raises:
        UserError: it is no such index, or names a file outside of its folder.
    """
    body = read_json(index)
    named = body.get("weight_map") if isinstance(body, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UserError(index, "has no weight_map from weights to files", "fetch the model again")
    for name in named.values():
        if Path(name).name != name:
            raise UserError(index, f"names {name!r}, which lies outside of its folder", "do not trust it")
    return sorted(set(named.values()))
