"""Names of LaTeX macros, which consist of letters alone."""

from __future__ import annotations

import re

DIGITS = dict(
    zip(
        "0123456789",
        ["Zero", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine"],
        strict=True,
    )
)


def macro_name(ident: str) -> str:
    """Return an id in letters only, with digits spelt out."""
    spelt = re.sub(r"[0-9]", lambda match: f" {DIGITS[match.group()]} ", ident)
    return "".join(word[:1].upper() + word[1:] for word in re.split(r"[^A-Za-z]+", spelt))
