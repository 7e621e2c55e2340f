"""A GGUF file inside a wheel of a package registry, at a pinned version and hash."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import field_validator

from pardec.common.packages import PackageFile, unpacked
from pardec.models.gguf.reader import is_gguf
from pardec.models.sources.folder import ForeignSettings, known_shape


class PackageSettings(PackageFile, ForeignSettings):
    """A model whose weights a package of a registry contains."""

    source: Literal["package"]
    """Where the weights come from."""
    shape: str | None = None
    """The published shape it has, such as smollm2-135m: for planning before anything is downloaded."""

    @field_validator("member")
    @classmethod
    def _gguf(cls, member: str) -> str:
        if not is_gguf(member):
            raise ValueError("must be a file that ends in .gguf")
        return member

    _known = field_validator("shape")(known_shape)


def fetch(settings: PackageSettings, out_dir: str | Path, seed: int) -> dict[str, Any]:
    """Bring the model into `out_dir`; return what source.json says. `seed` is not used.

    Raises:
        UserError: the wheel cannot be had or is another one, or its file cannot be read.
    """
    from pardec.models.gguf.unpack import unpack

    facts = {"source": "package", **settings.facts(), "revision": settings.version}
    with unpacked(settings) as file:
        return unpack(file, Path(out_dir), settings, facts)
