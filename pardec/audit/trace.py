"""Trace one value down to samples, models and data, and up to the pages that print it."""

from __future__ import annotations

import difflib
import html
import re
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pardec.audit.run import Run
from pardec.common.errors import UserError
from pardec.common.folded import unfold_json

VALUES = "results/values.json"
COMPARISON = "results/comparison.json"
"""Holds the numbers of the published run that the page prints."""
NEAR = 5
REPORT = "results/report.html"
LINKED = re.compile(r'\bdata-v="([^"]+)"')
DRAWN = re.compile(r'\bid="([^"]*/[^"]*)"')
CARRIED = re.compile(r'<script[^>]*\bid="trail-data"[^>]*>(.*?)</script>', re.S)
ORIGIN = ("rule", "command", "code_sha256", "git", "machine", "start", "end", "seed")
"""Facts of a job's provenance, in the order shown."""
Facts = list[tuple[str, str]]


@dataclass
class Link:
    """One link of the chain.

    title: a file or object. facts: (name, text) lines. matches: whether its hash is the one that the link above
    recorded, None if none was recorded. below: links it depends on.
    """

    title: str
    facts: Facts = field(default_factory=list)
    matches: bool | None = None
    below: list[Link] = field(default_factory=list)


@dataclass
class Trace:
    """Trace of a value. value: the top link. printed: places that print or draw it."""

    value: Link
    printed: list[str]


def trace(run: Run, ident: str) -> Trace:
    """Return the trace of value `ident`.

    Raises:
        UserError: there is no such value; names the nearest ids.
    """
    body = run.values()
    values = body["values"] | (run.json(COMPARISON) or {}).get("values", {})
    if ident not in values:
        near = nearest(ident, values)
        fix = f"did you mean {' or '.join(near)}?" if near else f"ids stand in {VALUES}"
        raise UserError(f"value {ident!r}", f"is not in {run.label}", fix)
    value = values[ident]
    seen: set[str] = set()
    records = [
        _opened(run, path, body.get("records", {}).get(path), seen) for path in value.get("records") or []
    ]
    tables = [_table(run, source, records) for source in value.get("source") or []]
    return Trace(Link(ident, _of_value(value), below=tables or records), printed_in(run, ident, body))


def nearest(ident: str, known: dict[str, Any]) -> list[str]:
    """Return the ids most similar to `ident`: among those with the most shared words, the closest in spelling."""
    words, last = set(_words(ident)), ident.rpartition("/")[2]
    ranked = sorted(
        known, key=lambda other: (-len(words & set(_words(other))), not other.endswith(f"/{last}"))
    )
    return difflib.get_close_matches(ident, ranked[:400], NEAR, cutoff=0.6) or ranked[:NEAR]


def _words(ident: str) -> list[str]:
    return re.split(r"[=~,+_/]", ident)


def printed_in(run: Run, ident: str, body: dict[str, Any]) -> list[str]:
    """Return the places that print or draw a value, and the verdicts that use it. Ids are compared whole."""
    places = []
    if run.has(REPORT):
        links = run.once("linked", partial(_ids, run, LINKED, REPORT)).count(ident)
        if links:
            places.append(f"{REPORT}#{ident} (linked {links} {'time' if links == 1 else 'times'})")
        elif ident in run.once("carried", lambda: _carried(run.text(REPORT))):
            places.append(f"{REPORT} (carried, for a figure)")
        else:
            places.append(f"{REPORT} does not print it")
    drawings = [name for name in run.files() if name.startswith("results/figures/") and name.endswith(".svg")]
    places += [
        name for name in drawings if ident in run.once(("drawn", name), partial(_ids, run, DRAWN, name))
    ]
    for experiment, answer in (body.get("answers") or {}).items():
        if any(isinstance(piece, dict) and piece.get("value") == ident for piece in answer["pieces"]):
            places.append(f"the answer to experiment {experiment}")
    return places


def _ids(run: Run, pattern: re.Pattern, name: str) -> list[str]:
    return [html.unescape(ident) for ident in pattern.findall(run.text(name))]


def _carried(page: str) -> set[str]:
    """Return ids of the values whose trails a page contains."""
    match = CARRIED.search(page)
    try:
        return set(unfold_json(match[1])["values"]) if match else set()
    except (ValueError, KeyError, TypeError):
        return set()


def _table(run: Run, source: dict[str, Any], records: list[Link]) -> Link:
    path, rows = source["path"], source.get("rows") or []
    link = _hashed(run, path, source.get("sha256"))
    link.facts.append(("rows", ", ".join(map(str, rows))))
    if run.has(path) and path.endswith(".parquet"):
        keys = run.once(("keys", path), lambda: _keys(run.path(path)))
        link.facts += [("row", keys[number]) for number in rows if number < len(keys)]
    origin = run.maker(path)
    link.facts += _of_job(origin.block) if origin else []
    link.below = records
    return link


def _keys(path: Path | None) -> list[str]:
    import pyarrow.parquet as parquet

    return parquet.read_table(path, columns=["key"])["key"].to_pylist()


def _opened(run: Run, path: str, sha: str | None, seen: set[str]) -> Link:
    """Return the link of a file with its job and the files that the job read; each is opened once, later mentions are
    one line. seen: files opened so far."""
    link = _hashed(run, path, sha)
    if path in seen:
        return link
    seen.add(path)
    body = run.json(path) if path.endswith(".json") else None
    link.facts += _of_samples(body if isinstance(body, dict) else {})
    origin = run.maker(path)
    if origin is None:
        return link
    if origin.path != path:
        link.facts.append(("provenance", origin.path))
        if origin.path in seen:
            return link
        seen.add(origin.path)
    link.facts += _of_job(origin.block)
    link.below = [_opened(run, *pair, seen) for pair in origin.inputs]
    return link


def _hashed(run: Run, path: str, sha: str | None) -> Link:
    actual = run.sha(path)
    recorded = [("recorded as", sha)] if sha and actual != sha else []
    return Link(path, [("sha256", actual or "missing"), *recorded], None if sha is None else actual == sha)


def _of_value(value: dict[str, Any]) -> Facts:
    number = "no value" if value["value"] is None else f"{value['value']!r} {value.get('unit') or ''}".strip()
    ends = (value.get("ci_low"), value.get("ci_high"))
    shown = value.get("text") or ""
    shown += f" [{value['text_low']}, {value['text_high']}]" if value.get("text_low") else ""
    facts = {
        "value": number,
        "95 % interval": None if None in ends else f"{ends[0]!r} to {ends[1]!r}",
        "printed": shown,
        "n": value.get("n"),
        "what": value.get("description"),
        "rule": value["rule"],
        "command": value["command"],
    }
    return _known(facts)


def _of_samples(body: dict[str, Any]) -> Facts:
    """Return the status and raw numbers of a record, score or likelihood."""
    facts: dict[str, Any] = {}
    if "cell" in body:
        facts["status"] = ": ".join(filter(None, (body.get("status"), body.get("reason"))))
        sides = {"samples": body.get("samples"), "reference": (body.get("reference") or {}).get("samples")}
        for name, samples in sides.items():
            if samples:
                listed = " ".join(f"{sample['e2e_ms']:.6g}" for sample in samples)
                facts[f"{name}, ms"] = f"{len(samples)}: {listed}"
    for name, metric in (body.get("metrics") or {}).items():
        per = metric.get("per_prompt") or []
        listed = " ".join("-" if one is None else f"{one:.4g}" for one in per)
        facts[name] = f"{metric.get('value')} over {metric.get('n', len(per))}: {listed}"
    if body.get("nats_per_token") is not None:
        facts[body.get("kind", "likelihood")] = f"{body['nats_per_token']} nats/token"
    return _known(facts)


def _of_job(block: dict[str, Any]) -> Facts:
    facts = {key: block.get(key) for key in ORIGIN}
    git, machine = facts["git"] or {}, facts["machine"] or {}
    facts["git"] = (git.get("commit") or "") + (", with uncommitted changes" if git.get("dirty") else "")
    plain = {k: v for k, v in machine.items() if k != "sha256" and not isinstance(v, dict)}
    facts["machine"] = ", ".join(f"{key} {value}" for key, value in plain.items())
    return _known(facts)


def _known(facts: dict[str, Any]) -> Facts:
    return [(name, str(text)) for name, text in facts.items() if text not in (None, "")]
