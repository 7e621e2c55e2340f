"""Prompts of a local file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from pardec.common.files import sha256
from pardec.common.home import UserPath
from pardec.data.rows import RowSource
from pardec.data.sources.base import Prepared


class LocalPath(RowSource):
    """Prompts of a local JSON Lines, JSON, CSV, Parquet or text file."""

    source: Literal["path"]
    """Where the data comes from."""
    path: UserPath = Field(min_length=1)
    """The file; the ending of its name says its format, and `~` is the home folder."""

    def build(self, seed: int) -> Prepared:
        from pardec.data.local import read_rows

        path = Path(self.path)
        rows = read_rows(path, lines=self.shape == "wikitext")
        facts = {"name": self.path, "sha256": sha256(path), "rows": len(rows)}
        return self.split_rows(rows, seed, facts)
