"""Which class of model a folder holds. Light: reads config.json and imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.registry import ARCHITECTURES, FORMATS, QUANTISATIONS

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
    return _named(read_json(folder / "config.json"))


def _named(said: Any) -> str:
    named = (said.get("architectures") or [PLAIN])[0] if isinstance(said, dict) else PLAIN
    return named if named in ARCHITECTURES else PLAIN


def modules_of(*folders: str | Path, quantise: str | None = None) -> list[str]:
    """The modules of the models in `folders` that a job loads by name: their classes, the formats they are read
    from, and what quantises them. quantise: how, where their config.json does not say it yet."""
    configs = [read_json(Path(folder) / "config.json") for folder in folders]
    if quantise is not None:
        configs = [{**values, "quantise": quantise} for values in configs]
    return list(dict.fromkeys(module for values in configs for module in modules_of_config(values)))


def modules_of_config(values: dict[str, Any]) -> list[str]:
    """The same for the content of a config.json."""
    kind = values.get("model_type", "llama")
    format_module = [FORMATS.module(kind)] if kind in FORMATS else []
    how = values.get("quantise")
    quantised = [QUANTISATIONS.module(how)] if how is not None else []
    return [ARCHITECTURES.module(_named(values)), *format_module, *quantised]
