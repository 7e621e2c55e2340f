"""Read claims from YAML and judge them by this study's measurements.

A file is checked by judging it once over tables of one empty row each (`Judge(blank=True)`): whatever a statement or
selection names must exist there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.evidence.rules import Claim, Claims, Parts, Selection
from pardec.evidence.sentences import (
    Piece,
    Text,
    Values,
    capital,
    ids,
    marked,
    name,
    plain,
    sentence,
    text_of,
)
from pardec.evidence.statements import Number, Reader, Row, Rows, StatementError, Truth, at
from pardec.evidence.tables.registry import TABLES
from pardec.evidence.yaml_files import fault, read_yaml

SHIPPED = Path(__file__).parents[2] / "studies/claims.yaml"
"""The claims of the project's five seed documents."""
REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run yet"
UNDECIDED = "undecided"
"""Verdict of a part only: its interval allows both outcomes."""
VERDICTS = (REPRODUCED, CONTRADICTED, NOT_TESTABLE, NOT_RUN)
VALUES = "values "
"""Prefix in `from`, before the first part of the ids of published values; their rows have id, name (what follows that
part) and value."""
PART = "part"
"""Name of the current part's rows."""
Data = Mapping[str, Sequence[Mapping[str, Any]]]


@dataclass(frozen=True)
class Part:
    """The claim on one task, arm or size. short: the numbers after its name in a list."""

    name: str
    verdict: str
    pieces: tuple[Piece, ...]
    short: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """verdict: one of `VERDICTS`. pieces: the measured sentence. reason: why it is not testable, or which half is not.
    read: ids of the values that the statements compared."""

    verdict: str
    pieces: tuple[Piece, ...] = ()
    reason: str = ""
    parts: tuple[Part, ...] = ()
    read: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """Return ids of all values that the sentences print, each once."""
        of_parts = (id for part in self.parts for id in ids(part.pieces))
        return tuple(dict.fromkeys([*ids(self.pieces), *of_parts]))


def load_claims(path: str | Path | None = None) -> Claims:
    """Return the claims of a file; the shipped ones without a file.

    Raises:
        UserError: the file is missing, or a claim breaks the format; names file, line and key.
    """
    path = Path(path or SHIPPED)
    claims = read_yaml(path, Claims)
    numbers: dict[str, int] = {}
    try:
        blank = Judge(claims.rows, {}, {}, blank=True)
        for number, claim in enumerate(claims.claims):
            with at("claims", str(number)):
                if numbers.setdefault(claim.id, number) != number:
                    with at("id"):
                        raise StatementError(f"{claim.id!r} is the id of another claim too")
                blank.claim(claim)
    except StatementError as error:
        raise fault(path, list(error.keys), str(error)) from None
    return claims


def judge(
    tables: Data, values: Values, path: str | Path | Sequence[str | Path] | None = None
) -> dict[str, Any]:
    """Return every claim with its verdict, in the order of its file.

    tables: rows by table name; a missing or empty one means that its experiment was not run. values: published values.
    path: files of claims, the shipped one where None.

    Returns {"seeds": {group: title}, "claims": [claim]}, a claim being {id, seed, statement, expected, free,
    reproduced_if, verdict, measured, reason, evidence: [value id], read: [value id], intervals: {value id: [value, low,
    high]}, pieces, parts: [{name, verdict, measured, pieces}]}. `pieces` is the measured sentence with values named,
    `measured` with its values filled in; `read` are the values that the statement compared.

    Raises:
        UserError: a file of claims is wrong, or a sentence names a value that is not published.
    """
    files = [path] if path is None or isinstance(path, str | Path) else list(path) or [None]
    loaded = [(claims, Judge(claims.rows, tables, values)) for claims in map(load_claims, files)]
    return {
        "seeds": {group: title for claims, _ in loaded for group, title in claims.groups.items()},
        "claims": [
            _entry(claim, judge.claim(claim), values) for claims, judge in loaded for claim in claims.claims
        ],
    }


def _entry(claim: Claim, judgement: Judgement, values: Values) -> dict[str, Any]:
    lost = [ident for ident in judgement.evidence if ident not in values]
    if lost:
        raise UserError(
            f"claim {claim.id}", f"rests on {lost[0]!r}, which is no value", "collect the values again"
        )
    return {
        "id": claim.id,
        "seed": claim.group,
        **{key: getattr(claim, key) for key in ("statement", "expected")},
        "free": claim.free or None,
        "reproduced_if": claim.rule,
        "verdict": judgement.verdict,
        "measured": text_of(judgement.pieces, values) or None,
        "reason": judgement.reason or None,
        "evidence": list(judgement.evidence),
        "read": sorted(ident for ident in judgement.read if ident in values),
        "intervals": {i: [values[i][end] for end in ("value", "ci_low", "ci_high")] for i in judgement.evidence},
        "pieces": list(judgement.pieces),
        "parts": [
            {"name": p.name, "verdict": p.verdict, "measured": text_of(p.pieces, values), "pieces": [*p.pieces]}
            for p in judgement.parts
        ],
    }  # fmt: skip


class Judge:
    """Judges claims by the tables of a run.

    shared: selections of the claims' file. tables: rows by table. values: published values. blank: read one empty row
    of every table, drop no row, and say nothing.
    """

    def __init__(self, shared: Mapping[str, Selection], tables: Data, values: Values, blank: bool = False):
        self.tables, self.values, self.blank = tables, values, blank
        self._read: dict[str, Rows] = {}
        self.shared: dict[str, Rows] = {}
        for label, selection in shared.items():
            with at("rows", label):
                self.shared[label], _ = self._select(selection, self.shared)

    def claim(self, claim: Claim) -> Judgement:
        """Return the judgement of one claim.

        Raises:
            StatementError: it names a table, selection or column that does not exist.
        """
        scope, lacking, partial = self._selected(claim.rows, {})
        needed = [scope[label] for label, selection in claim.rows.items() if not selection.optional]
        groups = []
        for number, spec in enumerate(claim.parts):
            with at("parts", str(number)):
                needed.append(self._source(spec.source, scope))
                groups += [(number, group) for group in self._divided(needed[-1], spec, scope)]
        if not all(rows.table[1] for rows in needed):
            return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study has none")
        reader = Reader(scope)
        judged = [self._part(claim, *one, reader) for one in groups]
        parts = tuple(part for part in judged if part is not None)
        with at("unrun"):
            if claim.unrun and reader.truth(claim.unrun) and not self.blank:
                return Judgement(NOT_RUN, reason=claim.reasons.unrun)
        if lacking or (claim.tally and not parts):
            reason = next(filter(None, lacking or partial), claim.reasons.missing)
            if reason:
                return Judgement(NOT_TESTABLE, reason=reason, parts=parts)
            return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study compares nothing there")
        truths = {REPRODUCED: True, CONTRADICTED: False}
        tallies = {
            f"parts_{way}": truths.get(tally(way, parts)) if parts else None for way in ("every", "some")
        }
        reader.scope = {**reader.scope, **tallies}
        verdict = tally(claim.tally, parts) if claim.tally else _outcome(claim, reader)
        if self.blank:
            return Judgement(NOT_TESTABLE)
        words = {**scope, **_words(parts), "parts": parts}
        pieces = (
            capital(sentence(f"claim {claim.id}: sentence", claim.sentence, words)) if claim.sentence else ()
        )
        if verdict == UNDECIDED:
            return Judgement(
                NOT_TESTABLE, pieces, plain(claim.reasons.open, words), parts, tuple(reader.used)
            )
        return Judgement(verdict, pieces, plain(claim.reasons.decided, words), parts, tuple(reader.used))

    def _part(self, claim: Claim, number: int, group: Rows, whole: Reader) -> Part | None:
        """Return the claim's verdict on one part; None where one of the part's selections is empty."""
        row, spec = group[0], claim.parts[number]
        with at("parts", str(number)):
            inner, lacking, _ = self._selected(spec.rows, {**whole.scope, PART: group}, row)
            if lacking:
                return None
            reader = Reader(inner)
            outcome = _outcome(spec, reader, row)
        whole.used.update(reader.used)
        if self.blank:
            return Part("", outcome, ())
        words, where = {**row, **inner}, f"claim {claim.id}: parts"
        short = sentence(where, spec.short, words) if spec.short else ()
        return Part(plain(spec.name, words), outcome, sentence(where, spec.sentence, words), short)

    def _selected(
        self, selections: Mapping[str, Selection], scope: Mapping[str, Any], part: Row | None = None
    ) -> tuple[dict[str, Any], list[str], list[str]]:
        """Return `scope` with the selections, each of which may use those before it; the reasons of the required
        ones that are empty, "" where a table had no such rows; and the reasons of those that lost some rows."""
        result, lacking, partial = dict(scope), [], []
        for label, selection in selections.items():
            with at("rows", label):
                rows, reasons = self._select(selection, result, part)
            result[label] = rows
            if not rows and not selection.optional:
                lacking += reasons or [""]
            elif not selection.optional:
                partial += reasons
        return result, lacking, partial

    def _select(
        self, selection: Selection, scope: Mapping[str, Any], part: Row | None = None
    ) -> tuple[Rows, list[str]]:
        """Return the rows of a selection, and the reasons of the requirements that dropped some."""
        with at("from"):
            source = self._source(selection.source, scope)
        reader, reasons = Reader(scope), []
        with at("where"):
            rows = self._kept(source, selection.where, reader)
        if selection.match and part is not None:
            rows = [row for row in rows if all(_entry_of(row, c) == part.data[c] for c in selection.match)]
        for number, asked in enumerate(selection.require):
            with at("require", str(number), "that"):
                kept = self._kept(rows, asked.that, reader)
            reasons += [asked.reason] if len(kept) < len(rows) else []
            rows = kept
        rows = sort(rows, selection.order)
        if selection.pick:
            groups = grouped(rows, lambda row: tuple(_entry_of(row, c) for c in selection.each))
            rows = [_picked(group, selection.pick) for group in groups]
        return Rows(rows, source.table), reasons

    def _kept(self, rows: Iterable[Row], statement: str, reader: Reader) -> list[Row]:
        if not statement:
            return list(rows)
        return [row for row in rows if reader.truth(statement, row) or self.blank]

    def _source(self, label: str, scope: Mapping[str, Any]) -> Rows:
        """Return a selection, a shared one, published values, or a table, by the name in `from`."""
        if label in scope or label in self.shared:
            return scope[label] if label in scope else self.shared[label]
        if label not in self._read:
            self._read[label] = self._values(label) if label.startswith(VALUES) else self._table(label)
        return self._read[label]

    def _table(self, label: str) -> Rows:
        if label not in TABLES:
            raise StatementError(
                f"reads {label!r}, which is neither a selection nor one of: {', '.join(TABLES)}"
            )
        columns = TABLES.load(label).all_columns
        ends = {key: (one.low, one.high) for key, one in columns.items() if one.low and one.high}
        data = [dict.fromkeys(["key", *columns])] if self.blank else self.tables.get(label, ())
        return Rows((Row(label, line, ends) for line in data), (label, bool(data)))

    def _values(self, label: str) -> Rows:
        start = label.removeprefix(VALUES)
        known = {start: dict.fromkeys(["value", "ci_low", "ci_high"])} if self.blank else self.values
        lines = [
            {"id": ident, "name": ident.removeprefix(start), "value": entry["value"],
             "low": entry.get("ci_low"), "high": entry.get("ci_high")}
            for ident, entry in known.items() if ident.startswith(start)
        ]  # fmt: skip
        return Rows(Row("", line, {"value": ("low", "high")}) for line in lines)

    def _divided(self, rows: Rows, parts: Parts, scope: Mapping[str, Any]) -> list[Rows]:
        """Return the rows of each part, in order of appearance or sorted by `sort`."""
        reader = Reader(scope)
        with at("by"):
            alike = grouped(rows, lambda row: tuple(_bare(reader.evaluate(one, row)) for one in parts.by))
        groups = [Rows(sort(group, parts.order), rows.table) for group in alike]
        if parts.keep:
            with at("keep"):
                truths = [Reader({**scope, PART: rows}).truth(parts.keep, rows[0]) for rows in groups]
            groups = [rows for rows, truth in zip(groups, truths, strict=True) if truth or self.blank]
        if parts.longest:
            same = grouped(groups, lambda group: _entry_of(group[0], parts.longest))
            groups = [max(alike, key=len) for alike in same]
        if parts.pick and groups:
            groups = [max(groups, key=lambda group: _rank(group[0], *parts.pick.split()))]
        return sorted(groups, key=lambda group: [_sortable(_entry_of(group[0], c)) for c in parts.sort])


def _outcome(asked: Claim | Parts, reader: Reader, row: Row | None = None) -> str:
    """Return REPRODUCED, CONTRADICTED or UNDECIDED by the statements `reproduced_if` and `contradicted_if`."""
    with at("reproduced_if"):
        reproduced: Truth = reader.truth(asked.reproduced_if, row) if asked.reproduced_if else None
    with at("contradicted_if"):
        contradicted = (
            reader.truth(asked.contradicted_if, row) is True if asked.contradicted_if else reproduced is False
        )
    return REPRODUCED if reproduced is True else CONTRADICTED if contradicted else UNDECIDED


def tally(way: str, parts: Sequence[Part]) -> str:
    """Return the verdict of a claim by those of its parts; see `Claim.tally`."""
    verdicts = {part.verdict for part in parts}
    order: tuple[str, ...] = (CONTRADICTED, REPRODUCED) if way == "every" else (REPRODUCED, CONTRADICTED)
    if way == "some" and verdicts != {CONTRADICTED}:
        order = (REPRODUCED,)
    return next((verdict for verdict in order if verdict in verdicts), UNDECIDED)


def grouped(items: Iterable[Any], key: Any) -> list[list[Any]]:
    """Return items with equal keys together, in order of appearance."""
    groups: dict[Any, list[Any]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    return list(groups.values())


def sort(rows: Iterable[Row], columns: Sequence[str]) -> list[Row]:
    """Return rows sorted by these columns, unknown entries last."""
    return sorted(rows, key=lambda row: [_sortable(_entry_of(row, column)) for column in columns])


def _sortable(value: Any) -> tuple:
    return (value is None, 0 if value is None else value)


def _entry_of(row: Row, column: str) -> Any:
    return _bare(row[column])


def _bare(value: Any) -> Any:
    return value.value if isinstance(value, Number) else str(value) if isinstance(value, Text) else value


def _picked(rows: list[Row], steps: Sequence[str]) -> Row:
    """Return one of `rows`; a largest or smallest number of several knows of how many it was chosen."""
    if steps[0] in ("first", "last"):
        return rows[0 if steps[0] == "first" else -1]
    way, column, *_ = steps[0].split()
    best = max(rows, key=lambda row: [_rank(row, *step.split()) for step in steps])
    among = sum(_entry_of(row, column) is not None for row in rows)
    chosen = (column, among) if way in ("most", "least") and among else None
    return Row(best.table, best.data, best.intervals, chosen)


def _rank(row: Row, way: str, column: str, to: str = "0") -> float:
    value = _entry_of(row, column)
    if value is None:
        return float("-inf")
    return {"most": value, "least": -value, "nearest": -abs(value - float(to))}[way]


def _words(parts: Sequence[Part]) -> dict[str, Any]:
    """Return the functions of a claim's sentence: listed(verdict), names of parts, and tally(reproduced,
    contradicted, open), a sentence on which parts are what."""

    def listed(verdict: str = "") -> str:
        chosen = [part for part in parts if not verdict or part.verdict == verdict]
        pieces: list[Piece] = []
        for place, part in enumerate(chosen):
            if place:
                pieces.append(" and " if place == len(chosen) - 1 else ", ")
            pieces += [name(part.name), *((" (", *part.short, ")") if part.short else ())]
        return "".join(map(marked, pieces))

    def tallied(reproduced: str = "", contradicted: str = "", open: str = "") -> str:
        counts = [
            f"{words} {listed(verdict)}"
            for verdict, words in ((REPRODUCED, reproduced), (CONTRADICTED, contradicted), (UNDECIDED, open))
            if words and any(part.verdict == verdict for part in parts)
        ]
        return "; ".join(counts)

    return {"listed": listed, "tally": tallied}
