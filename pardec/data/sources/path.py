"""Prompts of a local file."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from pardec.common.files import sha256
from pardec.data.rows import RowSource
from pardec.data.sources.base import Prepared


class LocalPath(RowSource):
    """Prompts of a local JSONL, JSON, CSV, Parquet or text file."""

    source: Literal["path"]
    """Where the data comes from."""
    path: str = Field(min_length=1)
    """The file; its ending tells its format."""

    def build(self, seed: int) -> Prepared:
        from pardec.data.local import read_rows

        rows = read_rows(self.path, lines=self.shape == "wikitext")
        facts = {"name": self.path, "sha256": sha256(self.path), "rows": len(rows)}
        return self.split_rows(rows, seed, facts)
