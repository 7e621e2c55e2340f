"""Compressed text for pages that embed megabytes of it."""

from __future__ import annotations

import base64
import gzip
import json
import zlib
from typing import Any


def fold_text(text: str) -> str:
    """Return `text` compressed, in base64, which needs no escaping in HTML. Equal texts give equal results."""
    return base64.b64encode(gzip.compress(text.encode(), compresslevel=9, mtime=0)).decode("ascii")


def fold_json(data: Any) -> str:
    """Return `data` as compressed JSON, see `fold_text`.

    Raises:
        ValueError: a number that JSON lacks, such as NaN.
    """
    return fold_text(json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False))


def unfold_text(text: str) -> str:
    """Return the text that `fold_text` compressed.

    Raises:
        ValueError: it is damaged.
    """
    try:
        return gzip.decompress(base64.b64decode(text, validate=True)).decode()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(str(error)) from error


def unfold_json(text: str) -> Any:
    """Return the data that `fold_json` compressed.

    Raises:
        ValueError: it is damaged.
    """
    return json.loads(unfold_text(text))
