"""The header of a safetensors file, and the index of weights in several files. Imports no torch."""

from __future__ import annotations

import json
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import LFS, read_json


def shard_names(index: Path) -> list[str]:
    """Return the files that an index of weights names.

    Raises:
        UserError: it is not such an index, or names a file outside its folder.
    """
    body = read_json(index)
    named = body.get("weight_map") if isinstance(body, dict) else None
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise UserError(index, "has no weight_map from weights to files", "fetch the model again")
    for name in named.values():
        if Path(name).name != name:
            raise UserError(index, f"names {name!r}, which lies outside of its folder", "do not trust it")
    return sorted(set(named.values()))


def read_header(path: Path) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Return format and shape of each weight in a safetensors file; no weight is read.

    Raises:
        UserError: the file is truncated, or not a safetensors file.
    """
    size = path.stat().st_size
    try:
        with open(path, "rb") as handle:
            start = handle.read(8)
            if LFS.startswith(start) and size > len(start):
                raise ValueError("it is a pointer of Git LFS; run `git lfs pull` where it comes from")
            length = int.from_bytes(start, "little")
            if length > size:
                raise ValueError("its header does not fit into it")
            header = json.loads(handle.read(length))
        entries = {name: entry for name, entry in header.items() if name != "__metadata__"}
        promised = 8 + length + max((entry["data_offsets"][1] for entry in entries.values()), default=0)
        if size != promised:
            raise ValueError(f"it should have {promised} bytes and has {size}")
        return {name: (entry["dtype"], tuple(entry["shape"])) for name, entry in entries.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            path, f"is not a whole safetensors file ({error})", "fetch or copy the file again"
        ) from None
