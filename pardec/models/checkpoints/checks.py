"""What config, tokenizer and weights of a checkpoint say of each other, checked before anything runs on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json
from pardec.data.load import FILES, load_tokenizer
from pardec.models.checkpoints.configs import architecture_of, read_config
from pardec.models.registry import ARCHITECTURES


def check_checkpoint(folder: Path, brought: Path | None = None) -> None:
    """Refuse a checkpoint whose files contradict each other.

    folder: the checkpoint. brought: the user's own folder that it was copied from, which messages name.

    Raises:
        UserError: a config.json that is damaged or of no known model, a size or id that cannot be, a tokenizer that
            cannot be made of its files or has more tokens than the model's embedding has rows, or a weight that is
            missing, unknown, of another shape or quantised; names file, key and value.
    """
    try:
        values = read_json(folder / "config.json")
        config = read_config(values, str(folder / "config.json"))
        _check_tokenizer(folder, config)
        if values.get("weights") != "random":
            # Heavy: only a job that fetches a model comes here.
            from pardec.models.checkpoints.tensors import check_weights

            check_weights(folder, *ARCHITECTURES.load(architecture_of(folder)).wanted(folder))
    except UserError as error:
        if brought is None:
            raise
        where = str(error.where).replace(str(folder), str(brought), 1)
        raise UserError(where, error.what, error.fix) from None


def _check_tokenizer(folder: Path, config: Any) -> None:
    path = folder / "tokenizer.json"
    if not path.is_file():
        if not any((folder / name).is_file() for name in FILES):
            return
        tokenizer = load_tokenizer(folder)  # made from a vocabulary and merges, or refused
        if tokenizer.vocab_size > config.vocab_size:
            raise UserError(
                folder,
                f"has a tokenizer of {tokenizer.vocab_size} tokens, and the embedding of config.json has "
                f"{config.vocab_size} rows",
                "give the tokenizer that belongs to these weights",
            )
        return
    body = read_json(path)
    vocabulary = (body.get("model") or {}).get("vocab") or {}
    ids = vocabulary.values() if isinstance(vocabulary, dict) else range(len(vocabulary))
    largest = max([*ids, *(token["id"] for token in body.get("added_tokens") or [])], default=-1)
    if largest >= config.vocab_size:
        raise UserError(
            path,
            f"has a token of id {largest}, and the embedding of config.json has {config.vocab_size} rows",
            "give the tokenizer that belongs to these weights",
        )
