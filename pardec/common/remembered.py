"""A cache of results derived from file contents, for later processes: every job of a run needs the same ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import write_json

MOST = 5000
"""Maximum number of entries; with more, most belong to old versions of files, and all are computed again."""


class Remembered:
    """Lists of strings by key, in a JSON file that is read once and written by `save`.

    A key must determine its value. If the file is missing, damaged, or in a folder that cannot be written, everything
    is computed again.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.known = self._read()
        self.grew = False

    def get(self, key: str, make: Callable[[], list[str]]) -> list[str]:
        """Return the value of `key`, computed by `make` if it is not known yet."""
        if key not in self.known:
            self.known[key] = make()
            self.grew = True
        return self.known[key]

    def save(self) -> None:
        """Write the known entries if there are new ones; atomically, so that no reader sees part of them."""
        if not self.grew:
            return
        self.grew = False
        with suppress(OSError, UserError):
            write_json(self.path, self.known, None)

    def _read(self) -> dict[str, list[str]]:
        try:
            entries = json.loads(self.path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return {}
        if not isinstance(entries, dict) or len(entries) > MOST:
            return {}
        lists = (value for value in entries.values() if isinstance(value, list))
        sound = sum(all(isinstance(name, str) for name in names) for names in lists)
        return entries if sound == len(entries) else {}
