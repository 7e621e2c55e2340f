"""All numbers a template may print, and the record of which it printed.

A template has three ways to a digit: `value(id)`, `cfg(key)` and `count(list)`; `raw(text, source)` shows
quoted
material (a prompt, a path, a hash) with the file it is from. Each wraps its text in an element that says so,
which is
what `pardec.report.digits` looks for afterwards.
"""

from __future__ import annotations

import math
from collections.abc import Sized
from typing import Any

from markupsafe import Markup

from pardec.common.errors import UserError
from pardec.evidence.rounding import unit_words

SEPARATE = {"×", "", "%"}
SPACE = "\N{NO-BREAK SPACE}"


def figures(value: float, digits: int = 3) -> str:
    """`value` with `digits` significant digits, never in exponent form: 12.3, 0.00123, 12,300.

    Whole numbers keep all their digits.
    """
    if value == 0:
        return "0"
    if float(value).is_integer() and abs(value) < 1e15:
        return f"{value:,.0f}"
    exponent = math.floor(math.log10(abs(float(f"{value:.{digits - 1}e}"))))
    return f"{value:,.{max(digits - 1 - exponent, 0)}f}"


def grouped(text: str) -> str:
    """A printed number with commas in its whole part: 22972.5 -> 22,972.5."""
    whole, dot, rest = text.partition(".")
    return f"{int(whole):,}{dot}{rest}" if whole.isdecimal() else text


class Book:
    """Values by id, the resolved study, and what has been printed.

    Args:
        values: id -> value, as `results/values.json` holds them. study: the resolved configuration as
            nested data.
    """

    def __init__(self, values: dict[str, dict], study: dict[str, Any]):
        self.values = values
        self.study = study
        self.used: dict[str, None] = {}

    def get(self, ident: str, where: str = "report") -> dict:
        """The value `ident`.

        Raises:
            UserError: there is none; names `where`, the template that asked.
        """
        if ident not in self.values:
            raise UserError(
                where,
                f"prints value {ident!r}, which values.json does not hold",
                "correct the id, or publish the column",
            )
        self.used[ident] = None
        return self.values[ident]

    def known(self, ident: str) -> bool:
        """Whether `ident` is published and not null."""
        return self.values.get(ident, {}).get("value") is not None

    def draw(self, ident: str) -> str | None:
        """Note that a figure draws `ident`; what a screen reader says of it, None if it is not published."""
        if self.values.get(ident, {}).get("value") is None:
            return None
        entry = self.get(ident)
        _, *middle, column = ident.split("/")
        unit = entry.get("unit") or ""
        words = f"{column.replace('_', ' ')}, {', '.join(middle)}: {self._show(entry, 'value', 'text', 1, 3)}"
        if unit and unit != "fraction":
            words += f" {signed(unit, entry['value'])}"
        if entry.get("ci_low") is not None and entry.get("ci_high") is not None:
            ends = (
                self._show(entry, "ci_low", "text_low", 1, 3),
                self._show(entry, "ci_high", "text_high", 1, 3),
            )
            words += f", interval {ends[0]} to {ends[1]}"
        return words

    def value(
        self, ident: str, where: str = "report", unit: bool = True, interval: bool = False, digits: int = 3,
        scale: float = 1, suffix: str | None = None,
    ) -> Markup:  # fmt: skip
        """A link that shows the number and opens its trail.

        unit: print the unit behind it. interval: print its ends in small type. scale, suffix: show another
        unit, say
        100 and "%". A published null prints a dash.
        """
        entry = self.get(ident, where)
        if entry["value"] is None:
            return Markup('<span class="none" title="no value">–</span>')
        sign = entry.get("unit") or "" if suffix is None else suffix
        shown = self._show(entry, "value", "text", scale, digits)
        if unit and sign and sign != "fraction":
            shown += (SPACE if sign not in SEPARATE else "") + signed(sign, entry["value"])
        ends = ""
        if interval and entry.get("ci_low") is not None and entry.get("ci_high") is not None:
            low = self._show(entry, "ci_low", "text_low", scale, digits)
            high = self._show(entry, "ci_high", "text_high", scale, digits)
            ends = Markup(' <small class="ci">[{}, {}]</small>').format(low, high)
        return Markup('<a class="v" href="#{0}" data-v="{0}">{1}{2}</a>').format(ident, shown, ends)

    @staticmethod
    def _show(entry: dict, name: str, text: str, scale: float, digits: int) -> str:
        """A value's own rounded text where it has one (rounded by its interval), else `digits` significant
        digits."""
        if scale == 1 and entry.get(text):
            return grouped(entry[text])
        return (
            figures(entry[name] * scale, digits) if isinstance(entry[name], int | float) else str(entry[name])
        )

    def cfg(self, key: str, where: str = "report") -> Markup:
        """The configuration's entry at a dotted `key`.

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
        shown = ", ".join(map(str, entry)) if isinstance(entry, list) else str(entry)
        return Markup('<span class="cfg" data-source="config" title="config key {}">{}</span>').format(
            key, shown
        )

    @staticmethod
    def count(items: Sized) -> Markup:
        """How many `items` there are."""
        return Markup('<span data-source="count">{}</span>').format(len(items))

    @staticmethod
    def raw(text: Any, source: str, tag: str = "code") -> Markup:
        """Quoted material, escaped, with the file it comes from."""
        return Markup('<{0} data-source="{1}">{2}</{0}>').format(Markup(tag), source, text)


def signed(unit: str, value: float) -> str:
    """A unit beside a number on the page."""
    return {"x": "×"}.get(unit, unit_words(unit, value))
