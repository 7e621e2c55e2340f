"""Pack each printed number for the page: the value and the trail down to its samples."""

from __future__ import annotations

import json
from typing import Any

from pardec.report.book import printed

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
    "seed",
    "sha256",
)


POOLED = ("rule", "command", "source", "description")
"""Facts that many values share."""


class _Pool:
    """List of distinct entries; repeats are replaced by indices."""

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
    """Return the values in `used`, packed with the trails of their records.

    The form is {"pool": [...], "values": {id: {...}}, "records": {path: {...}}}. A value has its number, its printed
    form (`pardec.report.book.printed`), n, and its source; entries in `POOLED` and `RECORD_KEYS` and a value's records
    are indices into `pool`.
    """
    pool = _Pool()
    packed, records = {}, {}
    for ident in used:
        entry = values[ident]
        paths = list(entry.get("records") or [])
        of = {"value": entry["value"], "n": entry.get("n"), "records": [pool.add(path) for path in paths]}
        if entry["value"] is not None:
            of |= printed(entry)
        of |= {key: pool.add(entry.get(key)) for key in POOLED}
        packed[ident] = {key: item for key, item in of.items() if item not in (None, "")}
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


def origin_of(trails: dict[str, dict]) -> dict[str, str]:
    """Return machines, commits and days of a run, by its records; facts missing in all records are left out."""
    measured = [trail for trail in trails.values() if trail.get("samples_ms") is not None]
    machines = {(trail.get("machine") or {}).get("cpu") for trail in measured}
    gpus = {(trail.get("machine") or {}).get("gpu") for trail in measured if _is_text(trail, "gpu")}
    commits = {_commit(trail.get("git") or {}) for trail in measured}
    days = {str(trail[end])[:10] for trail in measured for end in ("start", "end") if trail.get(end)}
    facts: dict[str, set] = {
        "machine": (machines | gpus) - {None},
        "commit": commits - {None},
        "measured": days,
    }
    return {name: ", ".join(sorted(entries)) for name, entries in facts.items() if entries}


def _is_text(trail: dict, fact: str) -> bool:
    return isinstance((trail.get("machine") or {}).get(fact), str)


def _commit(git: dict) -> str | None:
    if not git.get("commit"):
        return None
    return git["commit"][:12] + (" with uncommitted changes" if git.get("dirty") else "")
