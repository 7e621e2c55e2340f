"""Trace one value down to samples, models and data, and up to the pages that print it."""

from __future__ import annotations

import difflib
import html
import re
from collections import Counter
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from pardec.audit.run import Origin, Run
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


@dataclass
class Link:
    """One link of the chain.

    title: a file or object. facts: (name, text) lines. holds: whether its hash is the one that the link above recorded,
    None if none was recorded. below: links it depends on.
    """

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    holds: bool | None = None
    below: list[Link] = field(default_factory=list)


@dataclass
class Trace:
    """Trace of a value. value: the top link. printed: places that print or draw it."""

    value: Link
    printed: list[str]


def trace(run: Run, ident: str) -> Trace:
    """Returns the trace of value `ident`.

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
    top = Link(ident, _value_facts(value))
    chain = _Chain(run)
    records = [chain.record(path, body.get("records", {}).get(path)) for path in value.get("records") or []]
    for source in value.get("source") or []:
        table = chain.table(source, body)
        table.below = records
        top.below.append(table)
    if not value.get("source"):
        top.below = records
    return Trace(top, printed_in(run, ident, body))


def nearest(ident: str, known: dict[str, Any]) -> list[str]:
    """Returns the ids most similar to `ident`: among those with the most shared words, the closest in spelling."""
    words, last = set(_words(ident)), ident.rpartition("/")[2]
    ranked = sorted(
        known, key=lambda other: (-len(words & set(_words(other))), not other.endswith(f"/{last}"))
    )
    return difflib.get_close_matches(ident, ranked[:400], NEAR, cutoff=0.6) or ranked[:NEAR]


def _words(ident: str) -> list[str]:
    return re.split(r"[=~,+_/]", ident)


def printed_in(run: Run, ident: str, body: dict[str, Any]) -> list[str]:
    """Returns the places that print or draw a value, and the verdicts that use it. Ids are compared whole."""
    places = []
    if run.has(REPORT):
        links = run.once("linked", lambda: _ids(LINKED, run.text(REPORT)))[ident]
        if links:
            places.append(f"{REPORT}#{ident} (linked {links} {'time' if links == 1 else 'times'})")
        elif ident in run.once("carried", lambda: _carried(run.text(REPORT))):
            places.append(f"{REPORT} (carried, for a figure)")
        else:
            places.append(f"{REPORT} does not print it")
    for name in run.files():
        if name.startswith("results/figures/") and name.endswith(".svg"):
            drawn = run.once(("drawn", name), partial(_drawn, run, name))
            places += [name] if ident in drawn else []
    for experiment, answer in (body.get("answers") or {}).items():
        if any(isinstance(piece, dict) and piece.get("value") == ident for piece in answer["said"]):
            places.append(f"the answer to experiment {experiment}")
    return places


def _drawn(run: Run, name: str) -> Counter:
    return _ids(DRAWN, run.text(name))


def _ids(pattern: re.Pattern, text: str) -> Counter:
    return Counter(html.unescape(ident) for ident in pattern.findall(text))


def _carried(page: str) -> set[str]:
    """Returns ids of the values whose trails a page contains."""
    match = CARRIED.search(page)
    try:
        return set(unfold_json(match[1])["values"]) if match else set()
    except (ValueError, KeyError, TypeError):
        return set()


def _value_facts(value: dict[str, Any]) -> list[tuple[str, str]]:
    number = "no value" if value["value"] is None else f"{value['value']!r} {value.get('unit') or ''}".strip()
    facts = [("value", number)]
    if value.get("ci_low") is not None and value.get("ci_high") is not None:
        facts.append(("95 % interval", f"{value['ci_low']!r} to {value['ci_high']!r}"))
    if value.get("text") is not None:
        ends = f" [{value['text_low']}, {value['text_high']}]" if value.get("text_low") else ""
        facts.append(("printed", f"{value['text']}{ends}"))
    facts += [("n", str(value["n"]))] if value.get("n") is not None else []
    facts += [("what", value["description"])] if value.get("description") else []
    return [*facts, ("rule", value["rule"]), ("command", value["command"])]


class _Chain:
    """Builds the links below a value; each file is expanded once, later mentions are one line."""

    def __init__(self, run: Run):
        self.run = run
        self.seen: set[str] = set()

    def table(self, source: dict[str, Any], body: dict[str, Any]) -> Link:
        path, rows = source["path"], source.get("rows") or []
        facts = [("rows", ", ".join(map(str, rows))), *self._row_keys(path, rows)]
        link = self._hashed(path, source.get("sha256"), facts)
        link.facts += _origin_facts(self.run.maker(path))
        return link

    def record(self, path: str, sha: str | None) -> Link:
        body = self.run.json(path)
        facts = _sample_facts(body if isinstance(body, dict) else {})
        link = self._hashed(path, sha, facts)
        self._under(link, path)
        return link

    def _file(self, path: str, sha: str) -> Link:
        link = self._hashed(path, sha, [])
        if path not in self.seen:
            self._under(link, path)
        return link

    def _under(self, link: Link, path: str) -> None:
        """Add the provenance of `path`, and the files it read, under `link`."""
        self.seen.add(path)
        origin = self.run.maker(path)
        if origin is None:
            return
        if origin.path != path:
            link.facts.append(("provenance", origin.path))
            if origin.path in self.seen:  # the rest stands where it was first opened
                return
            self.seen.add(origin.path)
        link.facts += _origin_facts(origin)
        link.below += [self._file(*pair) for pair in origin.inputs]

    def _hashed(self, path: str, sha: str | None, facts: list[tuple[str, str]]) -> Link:
        actual = self.run.sha(path)
        shown = [("sha256", actual or "missing")]
        if sha and actual != sha:
            shown.append(("recorded as", sha))
        return Link(path, [*shown, *facts], None if sha is None else actual == sha)

    def _row_keys(self, path: str, rows: list[int]) -> list[tuple[str, str]]:
        if not self.run.has(path) or not path.endswith(".parquet"):
            return []
        keys = self.run.once(("keys", path), lambda: _keys(self.run.file(path)))
        return [("row", keys[number]) for number in rows if number < len(keys)]


def _keys(path: Path) -> list[str]:
    import pyarrow.parquet as parquet

    return parquet.read_table(path, columns=["key"])["key"].to_pylist()


def _sample_facts(body: dict[str, Any]) -> list[tuple[str, str]]:
    facts = []
    if "cell" in body:
        status = body.get("status")
        facts.append(("status", str(status) if not body.get("reason") else f"{status}: {body['reason']}"))
        reference = body.get("reference") or {}
        for name, samples in (("samples", body.get("samples")), ("reference", reference.get("samples"))):
            if samples:
                listed = " ".join(f"{sample['e2e_ms']:.6g}" for sample in samples)
                facts.append((f"{name}, ms", f"{len(samples)}: {listed}"))
    if "metrics" in body:
        for name, metric in body["metrics"].items():
            per = metric.get("per_prompt") or []
            listed = " ".join("-" if one is None else f"{one:.4g}" for one in per)
            facts.append((name, f"{metric.get('value')} over {metric.get('n', len(per))}: {listed}"))
    if body.get("nats_per_token") is not None:
        facts.append((body.get("kind", "likelihood"), f"{body['nats_per_token']} nats/token"))
    return facts


def _origin_facts(origin: Origin | None) -> list[tuple[str, str]]:
    if origin is None:
        return []
    block = origin.block
    git, machine = block.get("git") or {}, block.get("machine") or {}
    dirty = ", with uncommitted changes" if git.get("dirty") else ""
    shown = {
        "rule": block.get("rule"),
        "command": block.get("command"),
        "code sha256": block.get("code_sha256"),
        "git": f"{git['commit']}{dirty}" if git.get("commit") else None,
        "machine": ", ".join(
            f"{k} {v}" for k, v in machine.items() if k != "sha256" and not isinstance(v, dict)
        ),
        "time": f"{block['start']} to {block.get('end')}" if block.get("start") else None,
        "seed": block.get("seed"),
    }
    return [(name, str(text)) for name, text in shown.items() if text not in (None, "")]
