"""Tokens that end a text beside the end-of-sequence token: the end of a turn of instructed models, and others.

A model says them in three places: the list in config.json, the list in generation_config.json, and the name
of a special token in tokenizer_config.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pardec.common.files import read_json
from pardec.data.tokenizers import TURN_ENDS
from pardec.models.checkpoints.formats.base import first, further


def read_ends(folder: str | Path, eos_id: int | None, known: tuple[int, ...] = ()) -> tuple[int, ...]:
    """Ids of the tokens that end a text in the checkpoint `folder`, `eos_id` left out, smallest first.

    known: those that config.json lists.
    """
    folder, found = Path(folder), set(known)
    said = _content(folder / "generation_config.json").get("eos_token_id")
    found |= {first(said), *further(said)}
    added = _content(folder / "tokenizer_config.json").get("added_tokens_decoder") or {}
    found |= {int(index) for index, token in added.items() if token.get("content") in TURN_ENDS}
    return tuple(sorted(found - {None, eos_id}))


def _content(path: Path) -> dict[str, Any]:
    return read_json(path) if path.is_file() else {}
