"""Consistency checks of a checkpoint's config, tokenizer and weights, before anything runs on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.data.ends import read_object
from pardec.data.load import FILES, load_tokenizer
from pardec.models.architectures.config import BackboneConfig
from pardec.models.checkpoints.configs import architecture_of, format_of, read_config
from pardec.models.checkpoints.formats.base import IDS, check_id, plain_ids
from pardec.models.registry import ARCHITECTURES


def check_checkpoint(folder: Path, brought: Path | None = None) -> None:
    """Refuse a checkpoint whose files contradict each other.

    folder: the checkpoint. brought: the user's own folder that it was copied from, which messages name.

    Raises:
        UserError: a config.json that is damaged or of no known model, a size or id that cannot be, a tokenizer that
            cannot be made of its files or has more tokens than the model's embedding has rows, a family that its
            architecture cannot be, or a weight that is missing, unknown, of another shape or quantised; names file, key
            and value.
    """
    try:
        values = read_json(folder / "config.json")
        config = read_config(values, str(folder / "config.json"))
        _check_family(values, config, str(folder / "config.json"))
        _check_generation(folder / "generation_config.json", config)
        _check_tokenizer(folder, config)
        if values.get("weights") != "random":
            # Heavy: only a job that fetches a model comes here.
            from pardec.models.checkpoints.tensors import check_tie, check_weights

            check_weights(folder, *ARCHITECTURES.load(architecture_of(folder)).wanted(folder))
            if isinstance(config, BackboneConfig) and config.tied:
                name = format_of(values, str(folder / "config.json")).name
                check_tie(folder, name("model.embed_tokens.weight"), name("lm_head.weight"))
    except UserError as error:
        if brought is None:
            raise
        where = str(error.where).replace(str(folder), str(brought), 1)
        raise UserError(where, error.what, error.fix) from None


def _check_family(values: dict[str, Any], config: Any, where: str) -> None:
    """Refuse a family, set by a study or by our section of config.json, that the architecture cannot have."""
    family = (values.get("pardec") or {}).get("family")
    if family == "masked_diffusion" and getattr(config, "causal", True):
        what = (
            f"describes a {values.get('model_type')!r} model, which is causal and no masked-diffusion model"
        )
        raise UserError(where, what, "set the model's family to autoregressive, or leave it out")


def _check_generation(path: Path, config: Any) -> None:
    for key, entry in plain_ids(read_object(path)).items():
        if key not in IDS or entry is None:
            continue
        for index in entry if isinstance(entry, list) else [entry]:
            check_id(key, index, config.vocab_size, path)


DRAWING = ("dropout", "alpha", "nbest_size")
"""Keys of a tokenizer's model by which it draws among the ways to split a text (BPE-dropout, sampled segmentation)."""


def _check_tokenizer(folder: Path, config: Any) -> None:
    if not any((folder / name).is_file() for name in FILES):
        return
    path = folder / "tokenizer.json"
    rules = read_object(path).get("model")
    for key in DRAWING:
        if isinstance(rules, dict) and rules.get(key):
            what = f"sets {key} of its model to {rules[key]}: it would split a text differently each time"
            raise UserError(path, what, "set it to null, as for any use but training")
    # The library renumbers added tokens that leave a gap, so check the ids in the file too.
    added = read_object(path).get("added_tokens") or []
    largest = max([load_tokenizer(folder).largest_id, *(token["id"] for token in added)])
    if largest >= config.vocab_size:
        raise UserError(
            path if path.is_file() else folder,
            f"has a token of id {largest}, and the embedding of config.json has {config.vocab_size} rows",
            "give the tokenizer that belongs to these weights",
        )
