"""The content of config.json: the format, the configuration, the facts of the model. Imports no torch."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.models.architectures.config import (
    BackboneConfig,
    Config,
    DraftConfig,
    GPT2Config,
    MarkovConfig,
    RendererConfig,
)
from pardec.models.checkpoints.formats.base import Format, Values
from pardec.models.registry import ARCHITECTURES, FORMATS, QUANTISATIONS

PLAIN = "LlamaForCausalLM"
"""The architecture of a folder that names none of ours; its reader then reports unsupported keys."""
WRITTEN = {
    BackboneConfig: "llama",
    DraftConfig: "DFlashDraftModel",
    MarkovConfig: "DFlashMarkovDraftModel",
    GPT2Config: "gpt2",
    RendererConfig: "FractalRenderer",
}
"""The format in which each kind of configuration is written."""


def architecture_of(folder: str | Path) -> str:
    """Return the registry's name of the architecture in `folder`: the first of `architectures` in its config.json.

    Raises:
        UserError: no such folder, or no readable config.json in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "is not a folder", "give the folder of a model, with config.json in it")
    return _architecture(read_json(folder / "config.json"))


def _architecture(values: Any) -> str:
    named = values.get("architectures") if isinstance(values, dict) else None
    name = named[0] if isinstance(named, list) and named else PLAIN
    return name if isinstance(name, str) and name in ARCHITECTURES else PLAIN


def format_name(values: Values) -> str:
    """Return the key of `FORMATS` for a config.json: its architecture where that alone decides, else `model_type`."""
    architecture = _architecture(values)
    return architecture if architecture in FORMATS else str(values.get("model_type", "llama"))


def format_of(values: Values, where: str) -> type[Format]:
    """Return the format of a config.json.

    Raises:
        UserError: not one of this project's (names the nearest), or weights that are quantised already.
    """
    if not isinstance(values, dict):
        raise UserError(where, "is not a JSON object", "give the config.json of a checkpoint")
    quantised = values.get("quantization_config") or values.get("compression_config")
    if quantised:
        how = quantised.get("quant_method", "an unknown method") if isinstance(quantised, dict) else quantised
        raise UserError(
            where,
            f"describes weights that are quantised already ({how})",
            "give the unquantised checkpoint; for 8 or 4 bits set `quantise: int8` or `int4` of the model",
        )
    kind = format_name(values)
    if kind in FORMATS:
        return FORMATS.load(kind)
    near = difflib.get_close_matches(kind, FORMATS, 1)
    hint = f", nearest {near[0]!r}" if near else ""
    known = ", ".join(map(repr, FORMATS))
    raise UserError(where, f"describes a {kind!r} model{hint}", f"give a model of type {known}")


def read_config(values: Values, where: str) -> Config:
    """Return the configuration that a config.json describes, in whichever of the known formats it is.

    Raises:
        UserError: a key is missing, or the model needs something that its architecture here does not have; names the
        key.
    """
    return format_of(values, where).read(values, where)


def config_json(config: Config) -> Values:
    """Return the content of config.json for a configuration."""
    return FORMATS.load(WRITTEN[type(config)]).write(config)


def modules_of(*folders: str | Path, quantise: str | None = None) -> list[str]:
    """Return the modules that a job loads by name for the models in `folders`: their readers, their formats, and what
    quantises them.

    quantise: how, where their config.json does not say it yet.
    """
    configs = [read_json(Path(folder) / "config.json") for folder in folders]
    if quantise is not None:
        configs = [{**values, "quantise": quantise} for values in configs]
    return list(dict.fromkeys(module for values in configs for module in modules_of_config(values)))


def modules_of_config(values: Values) -> list[str]:
    """Return the modules that a job loads by name for a model with this config.json."""
    kind, how = format_name(values), values.get("quantise")
    formats = [FORMATS.module(kind)] if kind in FORMATS else []
    quantised = [QUANTISATIONS.module(how)] if how is not None else []
    return [ARCHITECTURES.module(_architecture(values)), *formats, *quantised]
