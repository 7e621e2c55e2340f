"""Check that every digit on the rendered page has a source."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from pardec.common.errors import UserError

VOID = frozenset(
    ["area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"]
)
SILENT = frozenset({"script", "style", "title"})
TERMS = re.compile(
    r"LLaMA[- ]?3|Llama[- ]?3|SHA-256|RO-Crate 1\.1|8B|n-gram|distinct-2|distinct_2|float(?:16|32|64)|95 %"
)
"""Names that contain a digit, and the level of all intervals."""
READ_ALOUD = ("alt", "aria-label", "title", "placeholder")


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.stack: list[tuple[str, bool]] = []
        self.bare: list[str] = []

    @property
    def sourced(self) -> bool:
        return bool(self.stack) and self.stack[-1][1]

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = dict(attributes)
        sourced = (
            self.sourced
            or tag in SILENT
            or bool({"data-v", "data-cfg", "data-source", "data-values"} & given.keys())
        )
        if not sourced:
            for name in READ_ALOUD:
                self._check(given.get(name) or "", f"{tag}[{name}]")
        if tag not in VOID:
            self.stack.append((tag, sourced))

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        """Ignore self-closed elements: they contain no text."""

    def handle_endtag(self, tag: str) -> None:
        while self.stack:
            if self.stack.pop()[0] == tag:
                break

    def handle_data(self, data: str) -> None:
        if not self.sourced:
            self._check(data, self.stack[-1][0] if self.stack else "text")

    def _check(self, words: str, place: str) -> None:
        left = TERMS.sub("", words)
        digit = re.search(r"\d", left)
        if digit:
            around = " ".join(left[max(digit.start() - 40, 0) : digit.end() + 40].split())
            self.bare.append(f"<{place}> … {around} …")


def bare_digits(html: str) -> list[str]:
    """Return the places of digits in `html` outside values, config keys, quoted material and named terms."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    return reader.bare


def check_digits(html: str) -> None:
    """Raise an error if a page has a digit without a source.

    Raises:
        UserError: there is one; lists the first places.
    """
    digits = bare_digits(html)
    if digits:
        places = "\n  ".join(digits[:10])
        raise UserError(
            "report",
            f"{len(digits)} digit(s) without a source:\n  {places}",
            "print it with value(id) or cfg(key)",
        )
