"""Read claims from YAML and judge them by this study's measurements."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import TemplateSyntaxError

from pardec.common.errors import UserError
from pardec.evidence.rules import PART, Checker, Chooser, Claim, Claims, Data, Parts, Selection, divided
from pardec.evidence.sentences import (
    Piece,
    Values,
    capital,
    ids,
    marked,
    name,
    plain,
    sentence,
    template,
    text_of,
)
from pardec.evidence.statements import Reader, Rows, StatementError, Truth
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


@dataclass(frozen=True)
class Part:
    """The claim on one task, arm or size. short: the numbers after its name in a list."""

    name: str
    verdict: str
    said: tuple[Piece, ...]
    short: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """verdict: one of `VERDICTS`. said: the measured sentence. reason: why it is not testable, or which half is not.
    read: ids of the values that the statements compared."""

    verdict: str
    said: tuple[Piece, ...] = ()
    reason: str = ""
    parts: tuple[Part, ...] = ()
    read: tuple[str, ...] = ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """Returns ids of all values that the sentences print, each once."""
        return tuple(dict.fromkeys([*ids(self.said), *(i for part in self.parts for i in ids(part.said))]))


def load_claims(path: str | Path | None = None) -> Claims:
    """Returns the claims of a file; the shipped ones without a file.

    Raises:
        UserError: the file is missing, or a claim breaks the format; names file, line and key.
    """
    path = Path(path or SHIPPED)
    claims = read_yaml(path, Claims)
    for number, claim in enumerate(claims.claims):
        mistake = _mistake(claims, claim)
        if mistake:
            raise fault(path, ["claims", str(number), *mistake[0]], mistake[1])
    numbers: dict[str, int] = {}
    for number, claim in enumerate(claims.claims):
        if numbers.setdefault(claim.id, number) != number:
            raise fault(path, ["claims", str(number), "id"], f"{claim.id!r} is the id of another claim too")
    return claims


def _mistake(claims: Claims, claim: Claim) -> tuple[list[str], str] | None:
    """Returns (key, what is wrong) of the first mistake in a claim."""
    checker = Checker(claims.rows)
    for label, selection in claim.rows.items():
        if words := checker.selection(selection, claim.rows):
            return ["rows", label], words
    for key in ("holds", "fails", "unrun"):
        if words := checker.statement(getattr(claim, key), claim.rows, set()):
            return [key], words
    for number, parts in enumerate(claim.parts):
        if mistake := _mistake_of_parts(checker, claim, parts):
            return ["parts", str(number), *mistake[0]], mistake[1]
    texts = {("said",): claim.said}
    for number, parts in enumerate(claim.parts):
        texts |= {("parts", str(number), key): getattr(parts, key) for key in ("name", "said", "short")}
    for where, text in texts.items():
        try:
            template(text)
        except TemplateSyntaxError as error:
            return list(where), f"is no template ({error})"
    if claim.tally and not claim.parts:
        return ["tally"], "adds up parts, of which there are none"
    return None


def _mistake_of_parts(checker: Checker, claim: Claim, parts: Parts) -> tuple[list[str], str] | None:
    if words := _unknown(checker, parts.source, claim):
        return ["from"], words
    columns = checker.columns(parts.source, claim.rows)
    among = {**claim.rows, **parts.rows}
    for text in parts.by:
        if words := checker.statement(text, claim.rows, columns):
            return ["by"], words
    for label, selection in parts.rows.items():
        if words := checker.selection(selection, among, columns):
            return ["rows", label], words
    for key in ("keep", "holds", "fails"):
        if words := checker.statement(getattr(parts, key), among, columns, columns):
            return [key], words
    lost = next((c for c in (*parts.order, *parts.sort, parts.longest) if c and c not in columns), None)
    return (["order"], f"names {lost!r}, which is no column of it") if lost else None


def _unknown(checker: Checker, source: str, claim: Claim) -> str:
    try:
        checker.columns(source, claim.rows)
    except StatementError as error:
        return str(error)
    return ""


def judge(
    tables: Data, values: Values, path: str | Path | Sequence[str | Path] | None = None
) -> dict[str, Any]:
    """Returns every claim with its verdict, in the order of its file.

    tables: rows by table name; a missing or empty one means that its experiment was not run. values: published values.
    path: files of claims, the shipped one where None.

    Returns {"seeds": {group: title}, "claims": [claim]}, a claim being {id, seed, statement, expected, free, holds,
    verdict, measured, reason, evidence: [value id], read: [value id], intervals: {value id: [value, low, high]}, said,
    parts: [{name, verdict, measured, said}]}. `said` is the measured sentence in pieces that name their values,
    `measured` the same with the values filled in; `read` are the values that the statement compared.

    Raises:
        UserError: a file of claims is wrong, or a sentence names a value that is not published.
    """
    files = [path] if path is None or isinstance(path, str | Path) else list(path) or [None]
    loaded = [load_claims(file) for file in files]
    return {
        "seeds": {group: title for claims in loaded for group, title in claims.groups.items()},
        "claims": [entry for claims in loaded for entry in _all(claims, tables, values)],
    }


def _all(claims: Claims, tables: Data, values: Values) -> list[dict[str, Any]]:
    chooser = Chooser(claims.rows, tables, values)
    return [_entry(claim, judge_claim(claim, chooser), values) for claim in claims.claims]


def _entry(claim: Claim, judgement: Judgement, values: Values) -> dict[str, Any]:
    lost = [ident for ident in judgement.evidence if ident not in values]
    if lost:
        raise UserError(
            f"claim {claim.id}", f"rests on {lost[0]!r}, which is no value", "collect the values again"
        )
    return {
        "id": claim.id,
        "seed": claim.group,
        "statement": claim.statement,
        "expected": claim.expected,
        "free": claim.free or None,
        "holds": claim.holds
        or next((parts.holds for parts in claim.parts if parts.holds and claim.tally), None),
        "verdict": judgement.verdict,
        "measured": text_of(judgement.said, values) or None,
        "reason": judgement.reason or None,
        "evidence": list(judgement.evidence),
        "read": sorted(ident for ident in judgement.read if ident in values),
        "intervals": {
            ident: [values[ident][end] for end in ("value", "ci_low", "ci_high")]
            for ident in judgement.evidence
        },
        "said": list(judgement.said),
        "parts": [
            {
                "name": part.name,
                "verdict": part.verdict,
                "measured": text_of(part.said, values),
                "said": list(part.said),
            }
            for part in judgement.parts
        ],
    }


def judge_claim(claim: Claim, chooser: Chooser) -> Judgement:
    """Returns the judgement of one claim."""
    asked = {
        **claim.rows,
        **{f"part {k}": _of_parts(parts) for k, parts in enumerate(claim.parts)},
    }
    needed = {
        table
        for selection in asked.values()
        if not selection.optional
        for table in chooser.tables_of(selection, claim.rows)
    }
    if not all(chooser.tables.get(table) for table in needed):
        return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study has none")
    chosen = chooser.chosen(claim.rows, {})
    reader = Reader(chosen.rows)
    parts = [part for spec in claim.parts for part in _parts(claim, spec, chooser, chosen.rows, reader)]
    if claim.unrun and reader.holds(claim.unrun):
        return Judgement(NOT_RUN, reason=claim.reasons.unrun)
    if chosen.lacking or (claim.tally and not parts):
        reason = next(filter(None, chosen.lacking), claim.reasons.missing)
        if reason:
            return Judgement(NOT_TESTABLE, reason=reason, parts=tuple(parts))
        return Judgement(NOT_RUN, reason=f"waits for {claim.waits}: this study compares nothing there")
    reader.scope.update(_tallies(parts))
    verdict = _verdict(claim, parts, reader)
    scope = {**chosen.rows, **_words(parts), "parts": parts}
    measured = capital(sentence(f"claim {claim.id}: said", claim.said, scope)) if claim.said else ()
    reason = claim.reasons.open if verdict == NOT_TESTABLE else claim.reasons.decided
    return Judgement(verdict, measured, plain(reason, scope), tuple(parts), tuple(reader.used))


def _of_parts(parts: Parts) -> Any:
    return Selection.model_construct(source=parts.source, optional=False)


def _parts(
    claim: Claim, spec: Parts, chooser: Chooser, rows: Mapping[str, Rows], reader: Reader
) -> list[Part]:
    groups = divided(chooser.source(spec.source, rows), spec, rows)
    return [
        part for group in groups if (part := _part(claim, spec, chooser, rows, group, reader)) is not None
    ]


def _part(
    claim: Claim, spec: Parts, chooser: Chooser, rows: Mapping[str, Rows], group: Rows, reader: Reader
) -> Part | None:
    """None where one of its selections is empty."""
    chosen = chooser.chosen(spec.rows, {**rows, PART: group}, group)
    if chosen.lacking:
        return None
    part_reader = Reader(chosen.rows)
    row = group[0] if group else None
    outcome = _outcome(
        part_reader.holds(spec.holds, row) if spec.holds else None, part_reader, spec.fails, row
    )
    reader.used.update(part_reader.used)
    scope = {**(row or {}), **chosen.rows}
    where = f"claim {claim.id}: parts"
    short = sentence(where, spec.short, scope) if spec.short else ()
    return Part(plain(spec.name, scope), outcome, sentence(where, spec.said, scope), short)


def _outcome(holds: Truth, reader: Reader, fails: str, row: Any = None) -> str:
    if holds is True:
        return REPRODUCED
    otherwise = reader.holds(fails, row) is True if fails else holds is False
    return CONTRADICTED if otherwise else UNDECIDED


def _verdict(claim: Claim, parts: list[Part], reader: Reader) -> str:
    if claim.tally:
        outcome = tally(claim.tally, [part.verdict for part in parts])
    elif claim.holds:
        outcome = _outcome(reader.holds(claim.holds), reader, claim.fails)
    else:
        outcome = UNDECIDED
    return NOT_TESTABLE if outcome == UNDECIDED else outcome


def tally(way: str, verdicts: Sequence[str]) -> str:
    """Returns the verdict of a claim by those of its parts; see `Claim.tally`."""
    order = (CONTRADICTED, REPRODUCED) if way == "every" else (REPRODUCED, CONTRADICTED)
    if way == "some" and set(verdicts) != {CONTRADICTED}:
        order = (REPRODUCED,)
    return next((verdict for verdict in order if verdict in verdicts), UNDECIDED)


def _tallies(parts: list[Part]) -> dict[str, Truth]:
    """Returns parts_every and parts_some, the results of these tallies, for statements."""
    truths = {REPRODUCED: True, CONTRADICTED: False}
    tallies = {way: truths.get(tally(way, [part.verdict for part in parts])) for way in ("every", "some")}
    return {f"parts_{way}": truth if parts else None for way, truth in tallies.items()}


def _words(parts: list[Part]) -> dict[str, Any]:
    """Functions of a claim's sentence: listed(verdict), names of parts; tally(holds, fails, open), a sentence on which
    parts are what."""

    def listed(verdict: str = "") -> str:
        chosen = [part for part in parts if not verdict or part.verdict == verdict]
        pieces: list[Piece] = []
        for place, part in enumerate(chosen):
            if place:
                pieces.append(" and " if place == len(chosen) - 1 else ", ")
            pieces += [name(part.name), *((" (", *part.short, ")") if part.short else ())]
        return "".join(map(marked, pieces))

    def tallied(holds: str = "", fails: str = "", open: str = "") -> str:
        counts = [
            f"{words} {listed(verdict)}"
            for verdict, words in ((REPRODUCED, holds), (CONTRADICTED, fails), (UNDECIDED, open))
            if words and any(part.verdict == verdict for part in parts)
        ]
        text = "; ".join(counts)
        return text[:1].upper() + text[1:]

    return {"listed": listed, "tally": tallied}
