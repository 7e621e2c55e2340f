"""Rows, published values and verdicts for tests of the judges."""

from __future__ import annotations

from pardec.evidence.claims.base import NOT_TESTABLE, VERDICTS
from pardec.evidence.claims.judge import judge, text_of
from pardec.evidence.claims.registry import CLAIMS
from pardec.evidence.tables.registry import TABLES

BY_ID = {claim.id: claim for claim in CLAIMS}


def row(table, **content):
    """A row of `table` with every column, null where nothing is said."""
    key = "/".join(str(part) for part in content.values() if isinstance(part, str | int))
    return {**dict.fromkeys(TABLES.load(table).all_columns), "key": key, **content}


def published(tables):
    """A value for each number of the rows, as the evidence stage would publish it."""
    found = {}
    for name, rows in tables.items():
        columns = TABLES.load(name).all_columns
        for line in rows:
            for column in (c for c in columns if columns[c].numeric):
                found[f"{name}/{line['key']}/{column}"] = {
                    "value": line[column], "unit": columns[column].unit, "text": str(line[column]),
                    "ci_low": None, "ci_high": None,
                }  # fmt: skip
    return found


def verdict(ident, tables, values=None):
    """The judge's verdict on a claim; whatever it rests on is published."""
    known = {**published(tables), **(values or {})}
    found = judge(BY_ID[ident], tables, known)
    assert found.verdict in VERDICTS and set(found.evidence) <= set(known)
    assert found.verdict != NOT_TESTABLE or found.reason
    text_of(found.said, known)
    return found
