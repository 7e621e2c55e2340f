"""Facts of a model from its settings in a study alone, for planning before any weights exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pardec.models.architectures.config import BackboneConfig, ModelInfo
from pardec.models.checkpoints.configs import read_config
from pardec.models.checkpoints.shapes import shape

GROUP = 128
"""Inputs that share a scale in int4."""
GUESSED_VOCABULARY = 1024
"""Vocabulary of a model trained here, which only its data's tokenizer knows."""


def quantised_info(info: ModelInfo, how: str, size: int) -> ModelInfo:
    """Return the same model with its layers' matrices quantised (`pardec.models.engines.quantise`); int4 has a scale
    and a least value of `size` bytes for each group."""
    head = info.vocab_size * info.hidden
    each = 1.0 if how == "int8" else 0.5 + 2 * size / GROUP
    return replace(info, matmul_bytes=round(each * (info.matmul_parameters - head)) + size * head)


def info_of_model(models: Mapping[str, Any], name: str) -> ModelInfo | None:
    """Return the facts of the model `name` of a study with these `models`; None if they are known only after a
    download. An adapted model is its base with other attention.

    Raises:
        UserError: see `info_of_settings`.
    """
    settings = models[name]
    if settings.source != "adapt":
        return info_of_settings(settings)
    base = info_of_model(models, settings.base)
    # Which token masks is known from the tokenizer alone.
    return base and replace(base, attention="block_causal", shift=settings.objective.shift, mask_id=0)


def info_of_settings(settings: Any) -> ModelInfo | None:
    """Return the facts of a study's model; None if they are known only after a download.

    Raises:
        UserError: a format that is not known, or a key that is missing.
    """
    if settings.source == "random":
        return read_config(settings.config_json(), "config.json").info()
    if settings.source in ("hub", "package"):
        return None if settings.shape is None else read_config(shape(settings.shape), "config.json").info()
    if settings.source == "path":
        from pardec.common.files import read_json
        from pardec.models.gguf.reader import is_gguf

        if is_gguf(settings.path):
            return None  # known once it has been read
        where = f"{settings.path}/config.json"
        return read_config(read_json(where), where).info()
    size = getattr(settings, "size", None)
    if size is None:
        return None
    from pardec.models.registry import FAMILIES

    family = FAMILIES.load(settings.family)
    names = ("hidden", "layers", "heads", "mlp", "max_positions")
    config = BackboneConfig(
        vocab_size=GUESSED_VOCABULARY,
        kv_heads=size.kv_heads or size.heads,
        head_dim=size.hidden // size.heads,
        causal=family.causal,
        family=settings.family,
        **{name: getattr(size, name) for name in names},
    )
    return config.info()
