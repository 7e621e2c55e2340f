"""Find the first difference between a run's file and the same file remade, by bytes or by content.

Files made with the same libraries are compared by bytes. Other versions differ in compression, paths of curves and last
digits; their files agree if table entries and other numbers agree within `CLOSE`, and all words and printed digits
exactly. A file's content is a sequence of (place, entry).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from itertools import zip_longest
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.folded import unfold_text

CLOSE = 1e-9
"""Relative tolerance for a bootstrap on another processor or library version."""
UNSEEN = (".png",)
"""Pictures without text to compare."""
GEOMETRY = (
    "d", "x", "y", "x1", "x2", "y1", "y2", "cx", "cy", "r", "rx", "ry", "points", "transform", "viewbox", "width",
    "height", "style", "id", "clip-path", "xlink:href",
)  # fmt: skip
"""Attributes of geometry, and names of shapes that others reference."""
FOLDED = ("trail-data", "folded")
"""Ids of script elements with compressed data."""
AROUND = 30
Entries = Iterable[tuple[str, Any]]


def difference(made: Path, kept: Path, exact: bool) -> str | None:
    """Return what is wrong with `kept`, a run's file, compared with `made`, the file remade; None if they agree.

    exact: whether the bytes must be equal.
    """
    if not kept.is_file():
        return "is missing"
    right, actual = made.read_bytes(), kept.read_bytes()
    if right == actual or (not exact and kept.suffix in UNSEEN):
        return None
    try:
        where = first_unlike(entries(made), entries(kept), 0.0 if exact else CLOSE)
    except (UserError, ValueError, KeyError, OSError) as error:
        return f"is not readable ({str(error).splitlines()[0][:120]})"
    if where is None and exact:
        where = first_unlike(_lines(right), _lines(actual), 0.0) or "other line ends"
    return None if where is None else f"does not follow from the files beneath it: {where}"


def entries(path: Path) -> Entries:
    """Return a file's content.

    Raises:
        ValueError: it is damaged.
    """
    match path.suffix:
        case ".csv" | ".parquet":
            return _cells(path)
        case ".json":
            return leaves(json.loads(path.read_bytes()))
        case ".html" | ".svg":
            return printed(path.read_text(encoding="utf-8"))
    return _lines(path.read_bytes())


def first_unlike(right: Entries, actual: Entries, slack: float) -> str | None:
    """Return the first difference in words; None if all places and entries agree."""
    for expected, shown in zip_longest(right, actual):
        if expected is None or shown is None:
            place, entry = expected or shown
            return f"{'lacks' if shown is None else 'has a foreign'} {place} {_short(entry)}"
        if expected[0] != shown[0]:
            return f"has {shown[0] or _short(shown[1])} instead of {expected[0] or _short(expected[1])}"
        if not same(expected[1], shown[1], slack):
            return (
                f"{shown[0]}: {_cut(shown[1], expected[1])} instead of {_cut(expected[1], shown[1])}".lstrip(
                    ": "
                )
            )
    return None


def same(a: Any, b: Any, slack: float = CLOSE) -> bool:
    """Return whether two plain entries are equal, floats up to a relative `slack`."""
    if all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b)):
        return a == b or math.isclose(a, b, rel_tol=slack, abs_tol=0.0) or (a != a and b != b)
    return type(a) is type(b) and a == b


def leaves(body: Any, place: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the leaves of a JSON body; an empty object or list is one too."""
    inner = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for key, one in inner:
        yield from leaves(one, f"{place} {key}".strip())
    if not isinstance(body, dict | list) or not body:
        yield place, body


def printed(text: str) -> list[tuple[str, Any]]:
    """Return the content of an HTML or SVG text, with compressed data unpacked.

    Raises:
        ValueError: the compressed data are damaged.
    """
    reader = _Printed()
    reader.feed(text)
    reader.close()
    return reader.content


class _Printed(HTMLParser):
    """Collects the content of a page or drawing in order: words, ids of values, data; no geometry."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.content: list[tuple[str, Any]] = []
        self.folded = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.folded = dict(attrs).get("id") in FOLDED
        kept = [f"{k}={v}" for k, v in attrs if k not in GEOMETRY or (k == "id" and "/" in (v or ""))]
        self.content.append(("", " ".join([tag, *kept])))

    def handle_endtag(self, tag: str) -> None:
        self.folded = False

    def handle_data(self, data: str) -> None:
        if self.folded:
            text = unfold_text(data)
            inner = leaves(json.loads(text)) if text[:1] == "{" else printed(text)
            self.content += [(f"in the data that it carries, {place}", entry) for place, entry in inner]
        elif data.strip():
            self.content.append(("", " ".join(data.split())))


def _cells(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield a table's entries, each with its row's key and its column."""
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        rows = parquet.read_table(path).to_pylist()
    else:
        with open(path, encoding="utf-8", newline="") as lines:
            rows = [{name: _number(text) for name, text in row.items()} for row in csv.DictReader(lines)]
    for row in rows:
        yield from ((f"row {row.get('key')}, column {column}", entry) for column, entry in row.items())


def _number(text: Any) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _lines(data: bytes) -> Iterator[tuple[str, str]]:
    if b"\0" in data:  # no text: in pieces, so that the difference has a place
        yield from (
            (f"byte {start} or later", data[start : start + 16].hex()) for start in range(0, len(data), 16)
        )
        return
    for number, line in enumerate(data.decode("utf-8", errors="replace").splitlines(), 1):
        yield f"line {number}", line


def _short(entry: Any) -> str:
    text = str(entry)
    return text if len(text) < 80 else text[:77] + "..."


def _cut(entry: Any, other: Any) -> str:
    """Return an entry; of a text, the surroundings of the first character in which it differs from another text."""
    if not (isinstance(entry, str) and isinstance(other, str)):
        return _short(entry)
    place = next(
        (n for n, (a, b) in enumerate(zip(entry, other, strict=False)) if a != b), min(len(entry), len(other))
    )
    return repr(entry[max(0, place - AROUND) : place + AROUND])
