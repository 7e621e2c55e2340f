"""The tokens that end a text, as one set from all files of a checkpoint.

A checkpoint names them in up to five places: `eos_token_id` of config.json and of generation_config.json (one id or a
list), `eos_token` of tokenizer_config.json (or of special_tokens_map.json, which older ones have), its special tokens
whose name is known to end a turn, and the special token that its chat template writes after an answer. Decoders,
counting, stopping and decoding of text all use this set. Where no file names an end, it is the vocabulary's token
with a usual name.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import read_json

TURN_ENDS = ("<|eot_id|>", "<|eom_id|>", "<|im_end|>", "<end_of_turn>")
"""Names of tokens that end a turn (Llama 3 and LLaDA, Llama 3's tool calls, Qwen and Dream, Gemma)."""
USUAL_ENDS = ("<eos>", "</s>", "<|end_of_text|>", "<|endoftext|>", "<|im_end|>", "<|eot_id|>", "[SEP]")
"""Names of end tokens in published tokenizers, tried in order where no file names one."""
ANSWER = "an answer"


def read_ends(folder: str | Path) -> frozenset[int]:
    """Return the ids of all tokens that end a text in the checkpoint `folder`; empty where it has none.

    Raises:
        UserError: a file is damaged JSON.
    """
    folder = Path(folder)
    ids: set[int] = set()
    for name in ("config.json", "generation_config.json"):
        ids |= as_ids(read_object(folder / name).get("eos_token_id"))
    settings = read_object(folder / "tokenizer_config.json")
    settings = {**read_object(folder / "special_tokens_map.json"), **settings}
    special = special_tokens(folder, settings)
    names = [token_text(settings.get("eos_token")), turn_end(folder, settings, special), *TURN_ENDS]
    ids |= {special[name] for name in names if name in special}
    if not ids:
        vocabulary = {**_vocabulary(folder), **special}
        ids = {vocabulary[name] for name in [n for n in USUAL_ENDS if n in vocabulary][:1]}
    return frozenset(ids)


def first_end(folder: Path) -> int | None:
    """Return the first end token in config.json; else the smallest id of all ends; None without any."""
    named = read_object(folder / "config.json").get("eos_token_id")
    listed = [index for index in (named if isinstance(named, list) else [named]) if as_ids(index)]
    return listed[0] if listed else min(read_ends(folder), default=None)


def as_ids(value: Any) -> set[int]:
    """Return the ids of an `eos_token_id`: none, one or several; a negative id means none."""
    listed = value if isinstance(value, list) else [value]
    return {index for index in listed if type(index) is int and index >= 0}


def token_text(token: Any) -> str | None:
    """Return the text of a special token, which configurations write as a string or as an object with `content`; None
    for anything else."""
    text = token.get("content") if isinstance(token, dict) else token
    return text if isinstance(text, str) else None


def special_tokens(folder: Path, settings: dict[str, Any]) -> dict[str, int]:
    """Return the special tokens by their text, with their ids.

    settings: content of tokenizer_config.json. transformers 4 lists the tokens there; transformers 5 leaves them in
    tokenizer.json; checkpoints that have none write added_tokens.json and vocab.json.
    """
    listed = settings.get("added_tokens_decoder") or {}
    tokens: dict[str, int] = {}
    with readable(folder / "tokenizer_config.json"):
        tokens |= {
            _text(token["content"]): int(index)
            for index, token in listed.items()
            if isinstance(token, dict) and "content" in token
        }
    body = read_object(folder / "tokenizer.json")
    with readable(folder / "tokenizer.json"):
        entries = body.get("added_tokens") or []
        tokens |= {token["content"]: token["id"] for token in entries if token.get("special")}
        # Named as an end, or known as one, a token ends a text whether its file calls it special or not.
        added = {_text(token["content"]): token["id"] for token in entries}
    tokens |= read_object(folder / "added_tokens.json")
    with readable(folder / "added_tokens.json"):
        tokens = {name: operator.index(index) for name, index in tokens.items()}
    eos = token_text(settings.get("eos_token"))
    for name in (eos, *TURN_ENDS):
        if name in added:
            tokens.setdefault(name, added[name])
    if eos is not None and eos not in tokens and eos in (vocabulary := _vocabulary(folder)):
        tokens[eos] = vocabulary[eos]
    return tokens


def _vocabulary(folder: Path) -> dict[str, int]:
    """Return every ordinary token of tokenizer.json or vocab.json with its id."""
    model = read_object(folder / "tokenizer.json").get("model")
    vocabulary = (model if isinstance(model, dict) else {}).get("vocab") or read_object(folder / "vocab.json")
    if isinstance(vocabulary, list):  # Unigram: pieces with their scores, in the order of their ids
        vocabulary = {piece[0]: index for index, piece in enumerate(vocabulary)}
    return vocabulary


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Raise UserError where values of the JSON file `path` are of another kind than they must be."""
    try:
        yield
    except (TypeError, ValueError, AttributeError, KeyError) as error:
        raise UserError(
            path, f"contains a value of the wrong kind ({error})", "fetch the checkpoint again"
        ) from None


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not text")
    return value


def turn_end(folder: Path, settings: dict[str, Any], special: dict[str, int]) -> str | None:
    """Return the special token that the chat template writes directly after an answer; None if it writes none.

    Raises:
        UserError: a chat template that is not UTF-8 text.
    """
    path = folder / "chat_template.jinja"
    try:
        source = path.read_text(encoding="utf-8") if path.is_file() else settings.get("chat_template")
    except UnicodeDecodeError as error:
        raise UserError(path, f"is not UTF-8 text ({error})", "fetch the checkpoint again") from None
    if isinstance(source, list):
        named = {entry.get("name"): entry.get("template") for entry in source if isinstance(entry, dict)}
        source = named.get("default")
    if not isinstance(source, str):
        return None
    from transformers.utils.chat_template_utils import render_jinja_template

    names: dict[str, Any] = {
        key: token_text(value) for key, value in settings.items() if key.endswith("_token")
    }
    turns = [{"role": "user", "content": "a question"}, {"role": "assistant", "content": ANSWER}]
    try:
        rendered: Any = render_jinja_template(conversations=[turns], chat_template=source, **names)
        text = str(rendered[0][0])
    except Exception:
        return None
    tail = text.rpartition(ANSWER)[2].lstrip()
    return max((name for name in special if tail.startswith(name)), key=len, default=None)


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file of a checkpoint; {} if the file does not exist.

    Raises:
        UserError: damaged JSON, or not an object.
    """
    try:
        body = read_json(path) if path.is_file() else {}
    except UserError as error:
        raise UserError(path, error.what, "fetch the checkpoint again") from None
    if not isinstance(body, dict):
        raise UserError(path, "is not a JSON object", "fetch the checkpoint again")
    return body
