"""Provide the numbers that templates may print, and record those printed.

Templates print digits by `value(id)` or `cfg(key)`, both of which are links. `raw(text, source)` quotes material (a
prompt, a path, a hash) with the file it is from. `pardec.report.digits` refuses a page with other digits.
"""

from __future__ import annotations

import math
from typing import Any

from markupsafe import Markup

from pardec.common.errors import UserError
from pardec.evidence.rounding import unit_words

SEPARATE = {"×", "", "%"}
SPACE = "\N{NO-BREAK SPACE}"
NONE = Markup('<span class="none" title="no value">–</span>')


def figures(value: float, digits: int = 3) -> str:
    """Return `value` with `digits` significant digits, never in exponent form: 12.3, 0.00123, 12,300.

    Whole numbers keep all their digits.
    """
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def grouped(text: str | None) -> str | None:
    """Return a printed number with commas in its whole part: 22972.5 -> 22,972.5."""
    whole, dot, rest = (text or "").partition(".")
    return f"{int(whole):,}{dot}{rest}" if whole.isdecimal() else text


def printed(entry: dict[str, Any]) -> dict[str, Any]:
    """Return a value as the page prints it: {text, unit, low, high}; low and high are None without an interval."""
    unit = entry.get("unit") or ""
    ends = grouped(entry["text_low"]), grouped(entry["text_high"])
    return {
        "text": grouped(entry["text"]),
        "unit": "" if unit == "fraction" else unit_words({"x": "×"}.get(unit, unit), entry["value"]),
        "low": None if None in ends else ends[0],
        "high": None if None in ends else ends[1],
    }


class Book:
    """Values by id, the resolved study, and a record of the values and keys printed.

    values: id -> value, as in `results/values.json`. study: the resolved configuration as nested data.
    """

    def __init__(self, values: dict[str, dict], study: dict[str, Any]):
        self.values = values
        self.study = study
        self.used: dict[str, None] = {}
        self.keys: dict[str, str] = {}

    def get(self, ident: str, where: str = "report") -> dict:
        """Return the value `ident`.

        Raises:
            UserError: there is none; names `where`, the template.
        """
        if ident not in self.values:
            raise UserError(
                where,
                f"prints value {ident!r}, which values.json does not contain",
                "correct the id, or publish the column",
            )
        if self.known(ident):
            self.used[ident] = None
        return self.values[ident]

    def known(self, ident: str) -> bool:
        """Return whether `ident` is published and not null."""
        return self.values.get(ident, {}).get("value") is not None

    def draw(self, ident: str) -> str | None:
        """Record that a figure draws `ident`; return its label for screen readers, None if it is not published."""
        if not self.known(ident):
            return None
        shown = printed(self.get(ident))
        _, *middle, column = ident.split("/")
        words = f"{column.replace('_', ' ')}, {', '.join(middle)}: {shown['text']} {shown['unit']}".rstrip()
        return words if shown["low"] is None else f"{words}, interval {shown['low']} to {shown['high']}"

    def value(self, ident: str, where: str = "report", unit: bool = True, interval: bool = False) -> Markup:
        """Return a link that shows the number and opens its trail; a published null gives a dash.

        unit: whether to print the unit. interval: whether to print the interval's ends, in small type.
        """
        entry = self.get(ident, where)
        if entry["value"] is None:
            return NONE
        shown = printed(entry)
        text = shown["text"]
        if unit:
            text += ("" if shown["unit"] in SEPARATE else SPACE) + shown["unit"]
        ends = ""
        if interval and shown["low"] is not None:
            ends = Markup(' <small class="ci">[{low}, {high}]</small>').format(**shown)
        return Markup('<a class="v" href="#{0}" data-v="{0}">{1}{2}</a>').format(ident, text, ends)

    def cfg(self, key: str, where: str = "report") -> Markup:
        """Return a link that shows the configuration's entry at a dotted `key` and opens it.

        Raises:
            UserError: the study has no such key; names `where`.
        """
        entry: Any = self.study
        for part in key.split("."):
            if not isinstance(entry, dict) or part not in entry:
                raise UserError(
                    where, f"prints config key {key!r}, which the study does not have", "correct the key"
                )
            entry = entry[part]
        self.keys[key] = ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)
        link = '<a class="v cfg" href="#config/{0}" data-cfg="{0}">{1}</a>'
        return Markup(link).format(key, self.keys[key])

    @staticmethod
    def raw(text: Any, source: str, tag: str = "code") -> Markup:
        """Return quoted material, escaped, with its source file."""
        return Markup('<{0} data-source="{1}">{2}</{0}>').format(Markup(tag), source, text)
