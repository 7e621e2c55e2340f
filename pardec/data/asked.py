"""Prompts as a chat model is asked them, with its tokenizer, in which a spare token becomes the mask token."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.data.load import load_tokenizer
from pardec.data.sources.base import Prepared
from pardec.data.tokenizers import TextTokenizer

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from pardec.data.foreign import ForeignTokenizer

hf = lazy("tokenizers")

MASK = "<|mask|>"
"""The name by which a tokenizer's mask token is found."""


def as_asked(prepared: Prepared, folder: str | Path, spare: str) -> Prepared:
    """Return the records with each prompt as the whole text of a conversation, and the tokenizer of the model in
    `folder`. spare: the special token that becomes the mask token.

    Raises:
        UserError: the model has no chat template, or no such special token.
    """
    tokenizer = load_tokenizer(folder)
    tokenizer.require_chat()  # only foreign tokenizers have a template
    render = cast("ForeignTokenizer", tokenizer).render_chat

    def asked(row: dict) -> dict:
        return {**row, "prompt": render([{"role": "user", "content": row["prompt"]}])}

    masked = renamed(tokenizer.tokenizer, spare, f"{folder}: tokenizer")
    ids = {role: getattr(tokenizer, f"{role}_id") for role in ("pad", "bos", "eos")}
    named = TextTokenizer(masked, {**ids, "mask": masked.token_to_id(MASK)}, tokenizer.where)
    sides = ([asked(row) for row in rows] for rows in (prepared.train, prepared.heldout))
    return replace(prepared, train=next(sides), heldout=next(sides), tokenizer=named)


def renamed(tokenizer: Tokenizer, spare: str, where: str) -> Tokenizer:
    """Return the tokenizer with its special token `spare` renamed to `MASK`; no id changes.

    Raises:
        UserError: it is no special token.
    """
    body = json.loads(tokenizer.to_str())
    special = [one for one in body["added_tokens"] if one["content"] == spare]
    if not special:
        known = ", ".join(one["content"] for one in body["added_tokens"])
        raise UserError(
            where, f"has no special token {spare!r} for a mask", f"name one that no text has: {known}"
        )
    special[0]["content"] = MASK
    vocabulary = body["model"]["vocab"]
    if spare in vocabulary:
        body["model"]["vocab"] = {MASK if name == spare else name: id for name, id in vocabulary.items()}
    return hf.Tokenizer.from_str(json.dumps(body))
