"""Make sentences from templates of a YAML file, as pieces: words, quoted names, and published values."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from jinja2 import StrictUndefined, Template, TemplateError
from jinja2.sandbox import SandboxedEnvironment

from pardec.common.errors import UserError
from pardec.evidence.rounding import unit_words
from pardec.evidence.tables.registry import value_id

Piece = str | dict[str, Any]
"""Words; {"value": id, "interval": bool}, a published number; {"name": text}, a quoted name."""
Values = dict[str, dict[str, Any]]
MARK, END = "\x02", "\x03"


class Text(str):
    """A name from a table: a sentence quotes it."""


@dataclass(frozen=True)
class Number:
    """A number of a table, or computed from such. value: None where it was not measured. low, high: its interval, both
    equal to `value` where the number is exact, both None where an interval should be and is none. ident: id of the
    published value; empty where computed."""

    value: float | None
    low: float | None
    high: float | None
    ident: str = ""

    @property
    def open(self) -> bool:
        """Return whether the number cannot be compared."""
        return self.value is None or self.low is None or self.high is None


def value(ident: str, interval: bool = True) -> Piece:
    """Return the piece of a published number."""
    return {"value": ident, "interval": interval}


def cell(table: str, row: Mapping[str, Any], column: str, interval: bool = True) -> Piece:
    """Return the piece of a table entry."""
    return value(value_id(table, row, column), interval)


def name(text: str) -> Piece:
    """Return the piece of a name of the study, shown unchanged."""
    return {"name": text}


def marked(piece: Piece) -> str:
    """Return a piece as text that survives a template; `pieces` is the inverse."""
    return piece if isinstance(piece, str) else f"{MARK}{json.dumps(piece)}{END}"


def _finalize(item: Any) -> Any:
    """Return the text of an item in a template: a number by its id, a name as a quotation."""
    if isinstance(item, Number) and item.ident:
        return marked(value(item.ident))
    return marked(name(item)) if isinstance(item, Text) else item


def _bare(item: Any) -> str:
    """Return a number without its interval."""
    return marked(value(item.ident, False))


def _is_known(item: Any) -> bool:
    return (item.value if isinstance(item, Number) else item) is not None


def _plain(item: Any) -> Any:
    return item.value if isinstance(item, Number) else "" if item is None else item


def _whole(item: Any) -> Any:
    return int(item) if isinstance(item, float) and item.is_integer() else item


SENTENCES = SandboxedEnvironment(undefined=StrictUndefined, finalize=_finalize, trim_blocks=True)
SENTENCES.filters |= {"bare": _bare, "named": Text}
NAMES = SandboxedEnvironment(undefined=StrictUndefined, finalize=lambda item: _whole(_plain(item)))
"""Templates of names print numbers as they are."""
SENTENCES.tests["known"] = NAMES.tests["known"] = _is_known


@cache
def template(text: str, quoting: bool = True) -> Template:
    """Return the template of a sentence.

    Raises:
        jinja2.TemplateSyntaxError: `text` is no template.
    """
    return (SENTENCES if quoting else NAMES).from_string(text)


def sentence(where: str, text: str, scope: Mapping[str, Any]) -> tuple[Piece, ...]:
    """Return a sentence in pieces.

    Raises:
        UserError: the template uses an unknown name, or its text contains a digit: numbers must be values.
    """
    try:
        parts = pieces(" ".join(template(text).render(**scope).split()))
        parts = () if parts == (".",) else parts
    except TemplateError as error:
        raise UserError(
            where, f"cannot be filled in ({error})", "correct the sentence's placeholders"
        ) from None
    typed = next((piece for piece in parts if isinstance(piece, str) and re.search(r"\d", piece)), None)
    if typed:
        raise UserError(where, f"types a number ({typed.strip()!r})", "name the column: {{ rows.column }}")
    return parts


def capital(pieces: tuple[Piece, ...]) -> tuple[Piece, ...]:
    """Return a sentence with a capital first letter, unless it begins with a name or a number."""
    first = pieces[0] if pieces else ""
    return (first[:1].upper() + first[1:], *pieces[1:]) if isinstance(first, str) else pieces


def plain(text: str, scope: Mapping[str, Any]) -> str:
    """Return a name or a reason, with numbers and names unchanged."""
    return " ".join(template(text, quoting=False).render(**scope).split())


def pieces(text: str) -> tuple[Piece, ...]:
    """Return the words and `marked` pieces of a rendered template."""
    split = re.split(f"({MARK}.*?{END})", text)
    return tuple(json.loads(part[1:-1]) if part.startswith(MARK) else part for part in split if part)


def ids(pieces: Iterable[Piece]) -> list[str]:
    """Return ids of the values that a sentence prints."""
    return [piece["value"] for piece in pieces if isinstance(piece, dict) and "value" in piece]


def text_of(pieces: Iterable[Piece], values: Values) -> str:
    """Return a sentence with its values filled in as published."""
    words = [piece if isinstance(piece, str) else _printed(piece, values) for piece in pieces]
    return re.sub(r"\s+", " ", "".join(words)).strip()


def _printed(piece: dict[str, Any], values: Values) -> str:
    if "name" in piece:
        return piece["name"]
    entry = values[piece["value"]]
    if entry["value"] is None:
        return "–"
    unit = "" if entry["unit"] == "fraction" else unit_words(entry["unit"] or "", entry["value"])
    shown = f"{entry['text']} {unit}".rstrip()
    ends = (entry.get("text_low"), entry.get("text_high"))
    return shown if None in ends or not piece["interval"] else f"{shown} [{ends[0]}, {ends[1]}]"
