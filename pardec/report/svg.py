"""Edit SVG drawings as XML: add titles to files, and embed figures in the page.

Only path data and positions are shortened; text, labels and ids of values stay unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from markupsafe import Markup

from pardec.common.errors import UserError
from pardec.common.lazy import lazy

etree = lazy("lxml.etree")

SVG = "{http://www.w3.org/2000/svg}"
XLINK = "{http://www.w3.org/1999/xlink}href"
# Colours of `figures.style` that the page's theme sets; others stay as drawn.
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
POSITIONS = frozenset(["d", "points", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "width", "height"])
DECIMAL = re.compile(r"-?\d*\.\d{3,}(?:e-?\d+)?")
MOVE = re.compile(r"(?:translate|rotate)\([^)]*\)")
URL = re.compile(r"url\(#([^)]*)\)")


def shortened(text: str) -> str:
    """Return `text` with decimal numbers rounded to hundredths of a point, finer than screens resolve."""
    return DECIMAL.sub(lambda match: f"{round(float(match[0]), 2) + 0.0:.10g}", text)


def parsed(content: bytes, path: str | Path, blank: bool = True) -> Any:
    """Return the root element of an SVG file's `content`, without comments; `blank` keeps space between elements.

    Raises:
        UserError: `content` is not SVG; names `path`.
    """
    parser = etree.XMLParser(
        remove_comments=True, remove_blank_text=not blank, resolve_entities=False, no_network=True
    )
    try:
        root = etree.fromstring(content, parser)
    except etree.XMLSyntaxError:
        root = None
    if root is None or root.tag != f"{SVG}svg":
        raise UserError(path, "is not an SVG", "remake it with `make all`")
    return root


def titled(content: bytes, spoken: Callable[[str], str | None]) -> bytes:
    """Return the SVG file `content` with a title in each mark, which viewers show on hover.

    spoken: label for the id of a mark's value; None leaves the mark without a title.
    """
    root = parsed(content, "the drawing")
    for mark in root.iter(f"{SVG}g"):
        ident = mark.get("id", "")
        words = spoken(ident) if "/" in ident else None
        if words is not None:
            title = etree.Element(f"{SVG}title")
            title.text = words
            mark.insert(0, title)
    return etree.tostring(root, xml_declaration=True, encoding="utf-8")


def embed(path: str | Path, name: str, alt: str, label: Callable[[str], str | None]) -> Markup:
    """Return the drawing of an SVG file as an element of the page.

    name: prefix of ids, unique per figure. label: label for the id of a value, None if it is not published. Marks of
    published values get `data-v` and this label; the page's script opens their trail.

    Raises:
        UserError: the file is missing or not SVG.
    """
    try:
        root = parsed(Path(path).read_bytes(), path, blank=False)
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to draw it") from None
    # The page labels marks itself, and scales the drawing by its viewBox.
    etree.strip_elements(root, f"{SVG}metadata", f"{SVG}title", with_tail=False)
    for attribute in ("width", "height", "version"):
        root.attrib.pop(attribute, None)
    count = 0
    for element in root.iter():
        for attribute, text in element.attrib.items():
            element.set(attribute, _edited(attribute, text, name))
        ident = element.attrib.pop("id", None)
        if ident is None:
            continue
        words = label(ident) if "/" in ident else None
        if words is not None:
            # The Tab key reaches the first mark, arrow keys the others.
            stop = "-1" if count else "0"
            marked = {
                "class": "mark",
                "data-v": ident,
                "role": "button",
                "tabindex": stop,
                "aria-label": words,
            }
            element.attrib.update(marked)
            count += 1
        elif "/" not in ident:
            element.set("id", f"{name}-{ident}")
    root.attrib.update({"role": "group", "aria-label": alt, "data-values": str(count)})
    return Markup(etree.tostring(root, encoding="unicode"))


def _edited(attribute: str, text: str, name: str) -> str:
    """Return an attribute with shortened positions, theme colours, and references within this figure."""
    if attribute == XLINK:
        return f"#{name}-{text[1:]}" if text.startswith("#") else text
    if attribute in POSITIONS:
        return shortened(text)
    if attribute == "transform":
        # Factors of scale() and matrix() are small and need all their digits.
        return MOVE.sub(lambda match: shortened(match[0]), text)
    if attribute in ("style", "fill", "stroke", "clip-path"):
        text = URL.sub(rf"url(#{name}-\1)", text)
        return re.sub("|".join(THEME), lambda match: THEME[match[0].lower()], text, flags=re.I)
    return text
