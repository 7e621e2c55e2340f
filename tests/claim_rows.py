"""Rows, published values and verdicts for tests of claims."""

from __future__ import annotations

import re

from pardec.evidence.claims import NOT_TESTABLE, VERDICTS, Judge, load_claims
from pardec.evidence.sentences import text_of
from pardec.evidence.tables.registry import TABLES, value_id

CLAIMS = load_claims()
BY_ID = {claim.id: claim for claim in CLAIMS.claims}


def row(table, **content):
    """A row of `table` with every column, null where nothing is said."""
    key = "/".join(str(part) for part in content.values() if isinstance(part, str | int))
    known = TABLES.load(table).all_columns
    alone = {"speed": content["verdict"]} if "speed" in known and "verdict" in content else {}
    within = {"delta": 0.03} if "delta" in known else {}
    return {**dict.fromkeys(known), "key": key, **alone, **within, **content}


def published(tables):
    """A value for each number of the rows, as the evidence stage would publish it."""
    result = {}
    for name, rows in tables.items():
        columns = TABLES.load(name).all_columns
        for line in rows:
            for column in (c for c in columns if columns[c].numeric):
                result[value_id(name, line, column)] = {
                    "value": line[column], "unit": columns[column].unit, "text": str(line[column]),
                    "ci_low": None, "ci_high": None,
                }  # fmt: skip
    return result


def judged(ident, tables, values):
    """Return (judgement on a claim, its sentence); checks that it rests on published values and types no number."""
    result = Judge(CLAIMS.rows, tables, values).claim(BY_ID[ident])
    assert result.verdict in VERDICTS and set(result.evidence) <= set(values)
    classes = "precision|quality|sizes|hardware|weights|engine|study"
    assert result.verdict != NOT_TESTABLE or re.match(classes, result.reason)
    for pieces in (result.pieces, *(part.pieces for part in result.parts)):
        assert not any(re.search(r"\d", piece) for piece in pieces if isinstance(piece, str))
    return result, text_of(result.pieces, values)


def verdict(ident, tables, values=None):
    """The verdict on a claim where every number of the rows is published."""
    further = {name: {"unit": "", "text": str(one["value"]), **one} for name, one in (values or {}).items()}
    return judged(ident, tables, published(tables) | further)[0]
