"""Prompts of a data set on the Hugging Face hub, at a pinned revision."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.data.fields import parts
from pardec.data.rows import RowSource
from pardec.data.sources.base import Prepared

if TYPE_CHECKING:
    from datasets import Dataset


class Hub(RowSource):
    """Prompts of a hub data set, downloaded once; later runs find it in the local cache."""

    source: Literal["hub"]
    """Where the data comes from."""
    dataset: str = Field(min_length=1)
    """Its name, `owner/name`, or a local folder laid out as on the hub."""
    config: str | None = None
    """Its configuration, where it has several."""
    files: str | list[str] | None = None
    """Its files to read, names or patterns, where it contains others too."""
    split: str = Field("test", min_length=1)
    """Which split."""
    revision: str = Field(pattern=r"^[0-9a-f]{40}$")
    """The commit, 40 hexadecimal digits; a branch or a tag can move and is refused."""

    def build(self, seed: int) -> Prepared:
        data = self.load()
        facts = {"name": self.dataset, "config": self.config, "split": self.split, "revision": self.revision}
        columns = [parts(field)[0] for field in (self.field, self.answer_field) if field]
        # Only what is asked for is decoded; a missing column is left to the check that names the nearest.
        rows: Any = data.select_columns(columns) if set(columns) <= set(data.column_names) else data
        return self.split_rows(rows, seed, {**facts, "rows": len(data)})

    def load(self) -> Dataset:
        """Download, or read the cache.

        Raises:
            UserError: no such data set, revision, configuration or split, or neither network nor cache.
        """
        import datasets

        where = f"hub data set {self.dataset}"
        if self.dataset.startswith((".", "/")) and not Path(self.dataset).is_dir():
            raise UserError(self.dataset, "does not exist", "check the path of the data set")
        try:
            return datasets.load_dataset(
                self.dataset, self.config, data_files=self.files, split=self.split, revision=self.revision
            )
        except Exception as error:
            # The library lets the errors of whatever it calls through: its own, the HTTP client's, those of parsers.
            first = (str(error).splitlines() or [type(error).__name__])[0]
            what = f"cannot be loaded at {self.revision[:12]} ({first})"
            fix = "check dataset, config, split and revision; the first run needs the network"
            raise UserError(where, what, fix) from None
