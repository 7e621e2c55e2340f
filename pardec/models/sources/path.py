"""A local checkpoint: a folder in the Hugging Face format (ours among them), or a GGUF file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator

from pardec.models.gguf.reader import is_gguf
from pardec.models.sources.folder import ForeignSettings, install


class PathSettings(ForeignSettings):
    """A model on this machine."""

    source: Literal["path"]
    """Where the weights come from."""
    path: str = Field(min_length=1)
    """The folder with config.json and *.safetensors, or a .gguf file; `~` is the home folder."""

    @field_validator("path")
    @classmethod
    def _at_home(cls, path: str) -> str:
        return os.path.expanduser(path)


def fetch(settings: PathSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Bring the checkpoint into `out_dir`; return what source.json says. `seed` is not used.

    Raises:
        UserError: the folder is missing or has no complete safetensors checkpoint, or the GGUF file cannot be read.
    """
    path = Path(settings.path)
    facts = {"source": "path", "path": settings.path, "revision": None}
    if is_gguf(path):
        from pardec.models.gguf.unpack import unpack

        return unpack(path, Path(out_dir), settings, facts)
    return install(path, Path(out_dir), settings, facts, link=False)
