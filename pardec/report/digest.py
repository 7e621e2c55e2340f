"""What the page carries of each printed number: the value and the trail down to its samples, packed small."""

from __future__ import annotations

import json
from typing import Any

RECORD_KEYS = (
    "rule",
    "command",
    "inputs",
    "code_sha256",
    "git",
    "machine",
    "environment",
    "start",
    "end",
    "launch",
    "stop",
)


class _Pool:
    """Each distinct thing once; the rest are indices into it."""

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.places: dict[str, int] = {}

    def add(self, item: Any) -> int | None:
        if item is None:
            return None
        key = json.dumps(item, sort_keys=True)
        if key not in self.places:
            self.places[key] = len(self.items)
            self.items.append(item)
        return self.places[key]


def digest(values: dict[str, dict], used: list[str], trails: dict[str, dict]) -> dict[str, Any]:
    """Pack the values in `used` with the trails of the records they name.

    Returns:
        {"pool": [...], "values": {id: [value, unit, n, low, high, rule, command, sources, records,
        description, text]}, "records":
        {path: {...}}}; repeated texts and objects are indices into `pool`.
    """
    pool = _Pool()
    packed, records = {}, {}
    for ident in used:
        entry = values[ident]
        paths = list(entry.get("records") or [])
        packed[ident] = [
            entry["value"],
            pool.add(entry.get("unit") or ""),
            entry.get("n"),
            entry.get("ci_low"),
            entry.get("ci_high"),
            pool.add(entry.get("rule")),
            pool.add(entry.get("command")),
            pool.add(entry.get("source") or []),
            [pool.add(path) for path in paths],
            pool.add(entry.get("description")),
            entry.get("text"),
        ]
        for path in paths:
            if path in trails and path not in records:
                records[path] = _record(trails[path], pool)
    return {"pool": pool.items, "values": packed, "records": records}


def _record(trail: dict, pool: _Pool) -> dict[str, Any]:
    short: dict[str, Any] = {key: pool.add(trail.get(key)) for key in RECORD_KEYS}
    for key in ("samples_ms", "reference_ms"):
        short[key] = [float(f"{sample:.5g}") for sample in trail.get(key) or []]
    if trail.get("per_prompt"):
        short |= {
            "metric": trail.get("metric"),
            "per_prompt": [score for score in trail["per_prompt"] if score is not None],
        }
    return short


def to_script(data: dict[str, Any]) -> str:
    """JSON that may stand inside a `<script>` element whatever the data says."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\N{LINE SEPARATOR}\N{PARAGRAPH SEPARATOR}":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return text
