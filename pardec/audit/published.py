"""Hold a run against the published one: what the end of `make all` and the page say of it.

Ratios, qualities and counts are compared. Absolute times are not: the median over all cells of both says how much
slower this machine is.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pardec.audit.compare import DIFFERS, NOT_COMPARABLE, NOTHING, REPRODUCED, Comparison, Judged, compare
from pardec.audit.run import Run
from pardec.common.lazy import lazy
from pardec.evidence.values import stated

statistics = lazy("pardec.evidence.statistics")

MEASURED = ("ratio", "quality", "count", "share", "fit")
"""Kinds of numbers that are compared; others are settings, sizes and tallies, equal or other in every run, or belong
to the machine."""
LATENCY = "/latency_ms"
WORST = 40
"""Most values that the page lists."""
NOTHING_PUBLISHED = {"archive": None, "line": "Nothing is published to compare this run with."}
"""Content of comparison.json where there is no archive."""


@dataclass(frozen=True)
class Outcome:
    """Counts of distinct numbers. slower: median latency of this run over the published one, by cell, with its interval
    and number of cells; None without common cells."""

    reproduced: list[Judged]
    differ: list[Judged]
    rest: list[Judged]
    slower: Any

    @property
    def compared(self) -> int:
        """Return how many values both runs have."""
        return len(self.reproduced) + len(self.differ)


def outcome(comparison: Comparison) -> Outcome:
    """Return the comparison in the numbers that a run is judged by."""
    numbers = comparison.distinct(MEASURED)
    by = {
        word: [one for one in numbers if one.verdict == word]
        for word in (REPRODUCED, DIFFERS, NOT_COMPARABLE)
    }
    kept = [one for one in by[REPRODUCED] if one.why != NOTHING]
    timed = [
        1 + one.change
        for one in comparison.judged
        if one.id.startswith("cells/")
        and one.id.endswith(LATENCY)
        and one.why != "other settings of its cell"
        if one.change is not None and one.change > -1
    ]
    slower = statistics.median(timed) if timed else None
    return Outcome(kept, sorted(by[DIFFERS], key=_worst), by[NOT_COMPARABLE], slower)


def _worst(one: Judged) -> tuple:
    return (one.p or 0.0, -abs(one.change or 0.0), one.id)


def line(of: Outcome) -> str:
    """Return the outcome in one line."""
    if not of.compared:
        return "No value of this run can be compared with the published run."
    speed = "" if of.slower is None else f" (this machine: {_speed(of.slower.value)})"
    return (
        f"{len(of.reproduced):,} of {of.compared:,} comparable values of the published run reproduced, "
        f"{len(of.differ):,} differ, the other {len(of.rest):,} not comparable{speed}"
    )


def _speed(factor: float) -> str:
    larger = f"{max(factor, 1 / factor):.2g}"
    return "as fast" if larger == "1" else f"{larger} times {'slower' if factor > 1 else 'faster'}"


def against(published: Run, run: Run, archive: str, sha: str, command: str) -> dict[str, Any]:
    """Return the content of comparison.json.

    archive, sha: path and SHA-256 of the published archive. command: the job's, for the trails of its numbers.

    Raises:
        UserError: a run has no values, or the archive is damaged.
    """
    comparison = compare(published, run, times=False)
    of = outcome(comparison)
    values: dict[str, dict[str, Any]] = {}

    def publish(ident: str, number: float | None, unit: str, description: str, **how: Any) -> str:
        name, ends = f"published/{ident}", how.pop("ends", (None, None))
        origin = {"source": [], "rule": "compare_published", "command": command, "description": description}
        values[name] = {**stated(name, number, unit, *ends), "n": None, **origin, **how}
        return name

    publish("reproduced", len(of.reproduced), "", "distinct published numbers that this run reproduces")
    publish("compared", of.compared, "", "distinct published numbers that this run can be compared with")
    publish("differ", len(of.differ), "", "distinct published numbers that this run contradicts")
    publish("rest", len(of.rest), "", "distinct published numbers that this run cannot be compared with")
    if of.slower is not None:
        one = of.slower
        turned = one.value < 1
        number, *ends = (
            None if x is None else 1 / x if turned else x
            for x in (one.value, *((one.high, one.low) if turned else (one.low, one.high)))
        )
        words = "median over cells of both runs: latency of the slower machine over that of the faster one"
        publish("speed", number, "×", words, ends=tuple(ends), n=one.n)
    rows = []
    for one in of.differ[:WORST]:
        assert one.a is not None and one.b is not None  # both have a number, or they would not differ
        side = {key: one.a.get(key) for key in ("text", "text_low", "text_high", "ci_low", "ci_high", "n")}
        records = one.b.get("records") or []
        theirs = publish(f"value/{one.id}", one.a["value"], one.a.get("unit") or "", "the published number")
        values[theirs] |= side | {"records": records}
        change = None
        if one.change is not None:
            change = publish(
                f"change/{one.id}", 100 * one.change, "%", "this number over the published one, minus one"
            )
            values[change]["records"] = records
        rows.append({"id": one.id, "published": theirs, "change": change, "why": one.why})
    judged = {"claims": ("claims", "verdict", "measured"), "verdicts": ("ideas", "status", "sentence")}
    answers = {}
    for file, (key, verdict, sentence) in judged.items():
        listed = (published.json(f"results/{file}.json") or {}).get(key) or []
        answers[key] = {
            one["id"]: {"verdict": one.get(verdict), "sentence": one.get(sentence)}
            for one in listed
            if "id" in one
        }
    study = published.json("results/study.json") or {}
    return {
        "archive": {"path": archive, "sha256": sha},
        "study": {"name": study.get("name"), "title": study.get("title")},
        "page": _page(archive),
        "line": line(of),
        "slower": None if of.slower is None else of.slower.value >= 1,
        "machine": {name: list(pair) for name, pair in comparison.machine.items() if "/" not in name},
        "verdicts": {name: list(pair) for name, pair in comparison.verdicts.items()},
        "rows": rows,
        "reasons": dict(sorted(Counter(one.why for one in of.rest).items())),
        "answers": answers,
        "values": values,
    }


def _page(archive: str) -> str | None:
    """Return the published page's path from the folder of results; None if it is not below that folder."""
    page = PurePosixPath(archive).with_name("report.html")
    inside = page.parts[:1] == ("results",) and ".." not in page.parts
    return page.relative_to("results").as_posix() if inside else None
