"""Figures inside the page: the same drawing, but marks open values and colours follow the theme."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

from markupsafe import Markup, escape

from pardec.common.errors import UserError

# Colours of `figures.style` that the page's theme owns; the rest stay as drawn.
THEME = {
    "#1f2328": "var(--ink)",
    "#5b636d": "var(--soft)",
    "#dfe3e8": "var(--line)",
    "#ffffff": "var(--paper)",
    "#0072b2": "var(--blue)",
    "#d55e00": "var(--vermillion)",
    "#009e73": "var(--green)",
    "#cc79a7": "var(--pink)",
}


def embed(path: str | Path, name: str, alt: str, label: Callable[[str], str | None]) -> Markup:
    """The drawing of an SVG file as an element of the page.

    name: prefix that keeps ids of several figures apart. label: what to say of a value id, None if it is not
    published. Marks of published values get `data-v` and that label; the page's script opens their trail.

    Raises:
        UserError: the file is missing or no SVG.
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to draw it") from None
    start = text.find("<svg")
    if start < 0:
        raise UserError(path, "is not an SVG", "delete it and run `make all` again")
    text = re.sub(r"<metadata>.*?</metadata>", "", text[start:], flags=re.S)
    text = re.sub(r"<!--.*?-->", "", text, flags=re.S)
    # The file tells its values by titles, for viewers without this page's script; here labels do that.
    text = re.sub(r"<title>.*?</title>", "", text, flags=re.S)
    drawn: list[str] = []

    def rename(match: re.Match) -> str:
        ident = unescape(match[1])
        if "/" in ident:
            words = label(ident)
            if words is None:
                return ""
            drawn.append(ident)
            # The first is where the Tab key enters; arrow keys go on from there.
            stop = 0 if len(drawn) == 1 else -1
            told = f'role="button" tabindex="{stop}" aria-label="{escape(words)}"'
            return f'class="mark" data-v="{escape(ident)}" {told}'
        return f'id="{name}-{escape(ident)}"'

    text = re.sub(r'\bid="([^"]*)"', rename, text)
    text = re.sub(r'xlink:href="#([^"]*)"', rf'xlink:href="#{name}-\1"', text)
    text = re.sub(r"url\(#([^)]*)\)", rf"url(#{name}-\1)", text)
    for color, variable in THEME.items():
        text = re.sub(color, variable, text, flags=re.I)
    # Six decimals of a point are a thousandth of what a screen can show; two keep the page small.
    text = re.sub(r"(\d+\.\d{2})\d+", r"\1", text)
    head = f'<svg role="group" aria-label="{escape(alt)}" data-values="{len(drawn)}" '
    # Marks need their `data-v` where no width is fixed: the page scales the drawing by its viewBox.
    opening = re.match(r"<svg\b([^>]*)>", text)
    kept = re.sub(r'\b(width|height|xmlns(?::\w+)?|version)="[^"]*"', "", opening[1]) if opening else ""
    body = text[opening.end() :] if opening else text
    xlink = 'xmlns:xlink="http://www.w3.org/1999/xlink"'
    return Markup(re.sub(r"\s+", " ", f"{head}{xlink} {kept}>") + re.sub(r">\s+<", "><", body).strip())
