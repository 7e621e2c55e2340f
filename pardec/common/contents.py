"""Hashes of large files that a user may replace at any time, without reading unchanged files again."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable
from pathlib import Path

from pardec.common.files import sha256
from pardec.common.remembered import Remembered

SETTLED_S = 2.0
"""A file that was written this recently may be written again within the same tick of its file system's clock."""


class Contents:
    """SHA-256 of files, cached by everything that a write changes: path, inode, size, times of content and of inode.

    memory: the file that stores the hashes for later processes.
    """

    def __init__(self, memory: str | Path):
        self._known = Remembered(memory)

    def digest(self, files: Iterable[str | Path]) -> str:
        """Return one SHA-256 over names and contents of `files`, independent of their folders."""
        total = hashlib.sha256()
        for path in map(Path, files):
            total.update(f"{path.name}\0{self.of(path)}\n".encode())
        self._known.save()
        return total.hexdigest()

    def of(self, path: Path) -> str:
        """Return the SHA-256 of one file."""
        stat = path.stat()
        if time.time() - max(stat.st_mtime, stat.st_ctime) < SETTLED_S:
            return sha256(path)
        state = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        [digest] = self._known.get(f"{path.resolve()} {state}", lambda: [sha256(path)])
        return digest
