"""Values in rows of foreign data sets: field paths, answers, conversations."""

from __future__ import annotations

import difflib
import json
import math
import re
from decimal import Decimal
from typing import Any

from pardec.common.errors import UserError
from pardec.data.local import MARK

ANSWERING = ("gpt", "chatgpt", "bing", "bard", "assistant", "model")
ASKING = ("human", "user", "prompter")
TEXT_PARTS = ("text", "input_text", "output_text")
"""Kinds of text in a message's content, by OpenAI's interfaces."""
TEXT_KEYS = ("text", "value", "answer", "content")


class Missing(UserError):
    """A row that lacks a field, or a conversation in it; other rows may have it."""


def parts(field: str) -> list[str]:
    """Return the keys and indices of a field path: `messages.0.content` or `messages[0].content`."""
    return re.sub(r"\[(-?\d+)\]", r".\1", field).split(".")


def pick(row: Any, field: str, where: str) -> Any:
    """Return the value at field path `field` of a row; None if a list on the path is too short, or a value on it null.

    A key that contains dots matches by its whole name; JSON text on the path is parsed. A byte-order mark before a key,
    which tables of spreadsheets have, is no part of it.

    Raises:
        Missing: no such field; names the nearest.
    """
    row = _unmarked(row)
    if isinstance(row, dict) and field in row:
        return row[field]
    value = row
    for part in parts(field):
        value = _unmarked(from_json(value))
        if isinstance(value, list) and re.fullmatch(r"-?\d+", part):
            index = int(part)
            value = value[index] if -len(value) <= index < len(value) else None
        elif isinstance(value, dict) and part in value:
            value = value[part]
        elif value is None:
            return None
        else:
            names = [str(name) for name in value] if isinstance(value, dict) else []
            near = difflib.get_close_matches(part, names, 1)
            hint = f"did you mean {near[0]!r}? " if near else ""
            known = f"it has: {', '.join(names)}" if names else "there is nothing to look into"
            raise Missing(where, f"has no field {field!r}", hint + known)
    return value


def _unmarked(value: Any) -> Any:
    """Return an object whose keys have no byte-order mark before them; any other value unchanged."""
    if isinstance(value, dict) and any(str(key).startswith(MARK) for key in value):
        return {key.lstrip(MARK) if isinstance(key, str) else key: inner for key, inner in value.items()}
    return value


def from_json(value: Any) -> Any:
    """Return the parsed list or object of a JSON text; any other value unchanged."""
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def text_of(value: Any, field: str, where: str, numbers: bool = False) -> str | None:
    """Return a prompt or an answer as text; None for null and NaN.

    numbers: whether to accept a number, as Python writes it. The text parts of a message's content are joined.

    Raises:
        UserError: a value that is not text (a list, an object, true or false); names the path to a text within it, if
            there is one.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bytes):  # a Parquet file without the mark for text
        try:
            return value.decode()
        except UnicodeDecodeError:
            pass  # refused below
    if isinstance(value, float | Decimal) and math.isnan(value):
        return None
    if numbers and isinstance(value, int | float | Decimal) and not isinstance(value, bool):
        if math.isinf(value):
            what = "contains an infinite number, not text"
            raise UserError(f"{where}, field {field!r}", what, "name a field that contains text")
        return str(value)
    texts = texts_of(value)
    if texts is not None:
        return "".join(texts)
    path = path_to_text(value)
    fix = "name a field that contains text"
    if path is not None:
        fix = f"name the path to a text in it: {field}.{path}"
    raise UserError(f"{where}, field {field!r}", f"contains {type(value).__name__}, not text", fix)


def texts_of(value: Any) -> list[str] | None:
    """Return the texts of a message's content in parts, [{"type": "text", "text": ...}, ...]; None for any other
    value."""
    if not isinstance(value, list) or not value or not all(isinstance(part, dict) for part in value):
        return None
    parts = [part.get("text") if part.get("type") in TEXT_PARTS else None for part in value]
    texts = [text for text in parts if isinstance(text, str)]
    return texts if len(texts) == len(parts) else None


def path_to_text(value: Any) -> str | None:
    """Return the path to the first text within a value, trying usual keys first; None without any text."""
    if isinstance(value, dict):
        usual = [key for key in TEXT_KEYS if key in value]
        entries = [(key, value[key]) for key in dict.fromkeys([*usual, *value])]
    else:
        entries = list(enumerate(value)) if isinstance(value, list) else []
    for key, inner in entries:
        if isinstance(inner, str):
            return str(key)
        path = path_to_text(inner)
        if path is not None:
            return f"{key}.{path}"
    return None


def first_exchange(turns: Any, field: str = "conversations", where: str = "row") -> tuple[str, str | None]:
    """Return the first human turn and the answer directly after it; an empty prompt without one.

    turns: ShareGPT's {"from", "value"} or the {"role", "content"} of chat interfaces, or a JSON text of such a list.

    Raises:
        UserError: not a list of turns, or a content that is not text.
    """
    turns = _rows_of(from_json(turns))
    if turns is None:
        return "", None
    if not isinstance(turns, list):
        what = f"contains {type(turns).__name__}, not a list of turns"
        lists = (
            [key for key, value in turns.items() if isinstance(value, list)]
            if isinstance(turns, dict)
            else []
        )
        fix = f"name the list in it: {field}.{lists[0]}" if len(lists) == 1 else "name a field"
        raise UserError(
            f"{where}, field {field!r}", what, f'{fix} that contains [{{"role", "content"}}, ...]'
        )
    exchange = [
        (str(_first(turn, "from", "role", "speaker")).lower(), _first(turn, "value", "content", "text"))
        for turn in turns
        if isinstance(turn, dict)
    ]
    for place, (speaker, content) in enumerate(exchange):
        if speaker in ASKING and content:
            following = exchange[place + 1] if place + 1 < len(exchange) else (None, None)
            answer = following[1] if following[0] in ANSWERING else None
            return text_of(content, field, where) or "", text_of(answer, field, where)
    return "", None


def _rows_of(value: Any) -> Any:
    """Return the rows of an object of lists of one length, as the library datasets gives a list of objects; any other
    value unchanged."""
    if not (isinstance(value, dict) and value and all(isinstance(column, list) for column in value.values())):
        return value
    if len({len(column) for column in value.values()}) > 1 or len(value) == 1:
        return value
    return [dict(zip(value, row, strict=True)) for row in zip(*value.values(), strict=True)]


def _first(row: dict[str, Any], *keys: str) -> Any:
    """Return the value of the first key that the row has."""
    return next((row[key] for key in keys if key in row), None)
