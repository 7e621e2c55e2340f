"""The values inside a rendered report, against values.json."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator
from typing import Any

from pardec.audit.faults import Fault
from pardec.audit.run import Run
from pardec.common.folded import unfold_json

REPORT = "results/report.html"
DATA = re.compile(r'<script[^>]*\bid="trail-data"[^>]*>(.*?)</script>', re.S)
LINK = re.compile(r'<a\b[^>]*\bdata-v="([^"]+)"[^>]*>(.*?)</a>', re.S)
NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?")
PLACES = {"value": 0, "n": 2, "ci_low": 3, "ci_high": 4}
"""Where a packed value holds what."""
SCALES = (1, 100, 1e3, 1e6, 1e-3, 1e-6)
"""Other units that a page may print a value in."""


def embedded(text: str) -> dict[str, Any]:
    """The packed values that a report carries, by id; empty where it carries none."""
    match = DATA.search(text)
    try:
        return unfold_json(match[1])["values"] if match else {}
    except (ValueError, KeyError, TypeError):
        return {}


def check_report(run: Run) -> list[Fault]:
    """Faults of report.html: a value that it carries or prints is not the one in values.json."""
    if not run.has(REPORT):
        return [Fault(REPORT, "is missing")]
    values = (run.json("results/values.json") or {}).get("values")
    if not isinstance(values, dict):
        return []  # nothing to hold it against; values.json is named already
    try:
        text = run.path(REPORT).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return [Fault(REPORT, "is not UTF-8 text")]
    packed = embedded(text)
    if not packed:
        return [Fault(REPORT, "carries no readable values")]
    return list(_differences(packed, text, values))[:1]


def _differences(packed: dict[str, Any], text: str, values: dict[str, Any]) -> Iterator[Fault]:
    for ident, entry in packed.items():
        if ident not in values:
            yield Fault(REPORT, f"carries {ident}, which values.json does not hold")
        elif any(entry[place] != values[ident].get(key) for key, place in PLACES.items()):
            yield Fault(REPORT, f"carries another value of {ident} than values.json")
    for ident, shown in LINK.findall(text):
        entry = values.get(html.unescape(ident))
        plain = html.unescape(re.sub(r"<[^>]*>", "", shown))
        if entry is None:
            yield Fault(REPORT, f"prints {ident}, which values.json does not hold")
        elif not prints(plain, entry):
            yield Fault(REPORT, f"prints {plain.strip()!r} where {ident} is {entry.get('text')}")


def prints(shown: str, entry: dict[str, Any]) -> bool:
    """Whether the text of a link is its value: rounded as published, or to its own digits in another unit."""
    match = NUMBER.search(shown)
    if match is None or not isinstance(entry.get("value"), int | float):
        return entry.get("value") is None or match is None
    plain = match[0].replace(",", "")
    if plain == entry.get("text"):
        return True
    decimals = len(plain.partition(".")[2])
    step = 0.51 * 10.0**-decimals if decimals else max(0.51, 0.006 * abs(float(plain)))
    return any(math.isclose(float(plain), entry["value"] * scale, abs_tol=step) for scale in SCALES)
