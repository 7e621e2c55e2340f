"""Compose paths of cells from words: `steps~64+new~193+batch~1`.

Neither `~` nor `+` has a meaning in Snakemake (which writes a job as `rule:wildcard=value,wildcard=value`), or in a
shell within a word, and no name in a study contains them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

SEPARATOR, EQUALS = "+", "~"
PLAIN = re.compile(r"[A-Za-z0-9._-]+")
LONGEST = 120
"""Most characters of swept settings in a file name, which most file systems limit to 255 bytes."""


def words(settings: Iterable[tuple[str, Any]]) -> list[str]:
    """Return one word per setting, in order; a nested setting gives one word per key.

    Raises:
        ValueError: a value has no short word that is safe in a path.
    """
    listed = [word for key, value in settings for word in _words(key, value)]
    if len(join(listed)) > LONGEST:
        raise ValueError(f"{join(listed)} takes more than {LONGEST} characters of a path")
    return listed


def _words(key: str, value: Any) -> list[str]:
    if isinstance(value, Mapping) and value:
        return [word for inner, item in value.items() for word in _words(f"{key}.{inner}", item)]
    if isinstance(value, (list, tuple)) and value:
        texts = [_text(key, item) for item in value]
        if any("-" in text for text in texts):
            raise ValueError(f"{key} {value!r} has no short word for a path")
        return [word(key, "-".join(texts))]
    return [word(key, _text(key, value))]


def _text(key: str, value: Any) -> str:
    text = "none" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if isinstance(value, (Mapping, list, tuple)) or not PLAIN.fullmatch(f"{key}{text}") or not text:
        raise ValueError(f"{key} {value!r} has no short word for a path")
    return text


def word(key: str, value: Any) -> str:
    """Return `key~value`."""
    return f"{key}{EQUALS}{value}"


def join(listed: Iterable[str]) -> str:
    """Return words joined as the last part of a path."""
    return SEPARATOR.join(listed)


def without(path: str, *keys: str) -> str:
    """Return the last part of a cell's path without the words of `keys`."""
    return join(item for item in path.split(SEPARATOR) if item.partition(EQUALS)[0] not in keys)


def value_of(path: str, key: str) -> str | None:
    """Return the value of `key` in the last part of a cell's path."""
    return next(
        (text for name, _, text in (item.partition(EQUALS) for item in path.split(SEPARATOR)) if name == key),
        None,
    )
