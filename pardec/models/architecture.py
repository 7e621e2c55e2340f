"""Which class of model a folder holds. Light: reads config.json and imports no torch."""

from __future__ import annotations

from pathlib import Path

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.registry import ARCHITECTURES

PLAIN = "LlamaForCausalLM"
"""What a folder holds that names none of ours; the plain backbone then says what it cannot read."""


def architecture_of(folder: str | Path) -> str:
    """The registry's name of the model in `folder`: the first of `architectures` in its config.json.

    Raises:
        UserError: no such folder, or no readable config.json in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "is not a folder", "give the folder of a model, with config.json in it")
    said = read_json(folder / "config.json")
    named = (said.get("architectures") or [PLAIN])[0] if isinstance(said, dict) else PLAIN
    return named if named in ARCHITECTURES else PLAIN


def module_of(folder: str | Path) -> str:
    """The module of that class, which a job loads by name."""
    return ARCHITECTURES.module(architecture_of(folder))
