"""Find the first difference between a run's file and the same file remade, by bytes or by content.

Files made with the same libraries are compared by bytes. Other versions differ in compression, paths of curves and last
digits; their files agree if table entries and other numbers agree within `CLOSE`, and all words and printed digits
exactly.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
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
GEOMETRY = frozenset(
    (
        *(
            "d",
            "x",
            "y",
            "x1",
            "x2",
            "y1",
            "y2",
            "cx",
            "cy",
            "r",
            "rx",
            "ry",
            "points",
            "transform",
            "viewbox",
        ),
        *("width", "height", "style", "id", "clip-path", "xlink:href"),
    )
)
"""Attributes of geometry, and names of shapes that others reference."""
FOLDED = ("trail-data", "folded")
"""Ids of script elements with compressed data."""
AROUND = 30


def difference(made: Path, kept: Path, exact: bool) -> str | None:
    """Returns what is wrong with `kept`, a run's file, compared with `made`, the file remade; None if they agree.

    exact: whether the bytes must be equal.
    """
    if not kept.is_file():
        return "is missing"
    right, actual = made.read_bytes(), kept.read_bytes()
    if right == actual or (not exact and kept.suffix in UNSEEN):
        return None
    try:
        where = _where(kept.suffix, made, kept, exact)
    except (UserError, ValueError, KeyError, OSError) as error:
        return f"is not readable ({str(error).splitlines()[0][:120]})"
    if where is None and exact:
        where = _bytes(right, actual)
    return None if where is None else f"does not follow from the files beneath it: {where}"


def _where(suffix: str, made: Path, kept: Path, exact: bool) -> str | None:
    slack = 0.0 if exact else CLOSE
    if suffix in (".csv", ".parquet"):
        return _rows(list(_table(made)), list(_table(kept)), slack)
    if suffix == ".json":
        return unlike(json.loads(made.read_bytes()), json.loads(kept.read_bytes()), slack)
    if suffix in (".html", ".svg"):
        return _pages(*(path.read_text(encoding="utf-8") for path in (made, kept)), slack)
    return _bytes(made.read_bytes(), kept.read_bytes())


def _table(path: Path) -> Iterator[dict[str, Any]]:
    if path.suffix == ".parquet":
        import pyarrow.parquet as parquet

        yield from parquet.read_table(path).to_pylist()
        return
    with open(path, encoding="utf-8", newline="") as lines:
        for row in csv.DictReader(lines):
            yield {name: _cell(text) for name, text in row.items()}


def _cell(text: str | None) -> Any:
    try:
        return float(text)
    except (TypeError, ValueError):
        return text


def _rows(right: list[dict], actual: list[dict], slack: float) -> str | None:
    """Returns the first entry that differs, by its row's key and its column."""
    if len(right) != len(actual):
        return f"{len(actual)} rows instead of {len(right)}"
    for expected, row in zip(right, actual, strict=True):
        if expected.keys() != row.keys():
            return "other columns"
        for column, entry in expected.items():
            if not same(entry, row[column], slack):
                place = f"row {expected.get('key')}, column {column}"
                return f"{place}: {_short(row[column])} instead of {_short(entry)}"
    return None


def unlike(right: Any, actual: Any, slack: float, place: str = "") -> str | None:
    """Returns the first difference of two JSON bodies in words; None if they agree."""
    if isinstance(right, dict) and isinstance(actual, dict):
        for key in [*right, *(key for key in actual if key not in right)]:
            if key not in actual or key not in right:
                return f"{'lacks' if key in right else 'has a foreign'} {_at(place, key)}"
            if where := unlike(right[key], actual[key], slack, _at(place, key)):
                return where
        return None
    if isinstance(right, list) and isinstance(actual, list):
        for number, (one, other) in enumerate(zip(right, actual, strict=False)):
            if where := unlike(one, other, slack, _at(place, number)):
                return where
        if len(right) != len(actual):
            return f"{place or 'it'} has {len(actual)} entries instead of {len(right)}"
        return None
    return (
        None
        if same(right, actual, slack)
        else f"{place}: {_short(actual)} instead of {_short(right)}".lstrip(": ")
    )


def _at(place: str, key: Any) -> str:
    return f"{place} {key}".strip()


def same(a: Any, b: Any, slack: float = CLOSE) -> bool:
    """Returns whether two plain entries are equal, floats up to a relative `slack`."""
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (a, b))
    if numbers:
        return a == b or math.isclose(a, b, rel_tol=slack, abs_tol=0.0) or (a != a and b != b)
    return type(a) is type(b) and a == b


def _short(entry: Any) -> str:
    text = str(entry)
    return text if len(text) < 80 else text[:77] + "..."


class _Printed(HTMLParser):
    """Collects the content of a page or drawing in order: words, ids of values, data; no geometry."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.said: list[Any] = []
        self.folded = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.folded = dict(attrs).get("id") in FOLDED
        kept = [f"{k}={v}" for k, v in attrs if k not in GEOMETRY or (k == "id" and "/" in (v or ""))]
        self.said.append(" ".join([tag, *kept]))

    def handle_endtag(self, tag: str) -> None:
        self.folded = False

    def handle_data(self, data: str) -> None:
        if self.folded:
            text = unfold_text(data)
            self.said.append(json.loads(text) if text[:1] == "{" else printed(text))
        elif data.strip():
            self.said.append(" ".join(data.split()))


def printed(text: str) -> list[Any]:
    """Returns the content of an HTML or SVG text, with compressed data unpacked.

    Raises:
        ValueError: the compressed data are damaged.
    """
    reader = _Printed()
    reader.feed(text)
    reader.close()
    return reader.said


def _pages(right: str, actual: str, slack: float) -> str | None:
    for expected, shown in zip_longest(printed(right), printed(actual)):
        if isinstance(expected, dict | list) and isinstance(shown, dict | list):
            if where := unlike(expected, shown, slack):
                return f"in the data that it carries, {where}"
        elif expected != shown:
            return _texts(str(expected), str(shown))
    return None


def _bytes(right: bytes, actual: bytes) -> str:
    if b"\0" in actual or b"\0" in right:
        first = next((n for n, (a, b) in enumerate(zip(right, actual, strict=False)) if a != b), None)
        return f"byte {min(len(right), len(actual)) if first is None else first} differs"
    return _texts(*(text.decode("utf-8", errors="replace") for text in (right, actual)))


def _texts(right: str, actual: str) -> str:
    """Returns the first line that differs, cut to the surroundings of the first differing character."""
    before, after = right.splitlines(), actual.splitlines()
    for number, (expected, line) in enumerate(zip_longest(before, after, fillvalue=""), 1):
        if expected != line:
            place = next(
                (n for n, (a, b) in enumerate(zip(expected, line, strict=False)) if a != b),
                min(len(expected), len(line)),
            )
            cut = slice(max(0, place - AROUND), place + AROUND)
            where = f"line {number}: " if len(after) > 1 else ""
            return f"{where}{line[cut]!r} instead of {expected[cut]!r}"
    return "other line ends"
