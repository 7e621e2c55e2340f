"""A checkpoint in a local folder: one of ours, or any in the Hugging Face Llama format."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from pardec.models.sources.folder import ForeignSettings, install


class PathSettings(ForeignSettings):
    source: Literal["path"]
    """Where the weights come from."""
    path: str = Field(min_length=1)
    """The folder with config.json and *.safetensors; `~` is the home folder."""

    @field_validator("path")
    @classmethod
    def _at_home(cls, path: str) -> str:
        return os.path.expanduser(path)


def fetch(settings: PathSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Bring the checkpoint into `out_dir`; returns what source.json says. `seed` is not used.

    Raises:
        UserError: the folder is missing or has no complete safetensors checkpoint.
    """
    folder = Path(settings.path)
    facts = {"source": "path", "path": settings.path, "revision": None}
    return install(folder, Path(out_dir), settings, facts, link=False)
