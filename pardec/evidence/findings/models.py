"""How many floors the models reach."""

from __future__ import annotations

from pardec.evidence.findings.base import Finding, Found, Rows, Word, computed, ident


def find(tables: Rows) -> list[Found]:
    rows = tables["models"]
    if not rows:
        return []
    met = sum(row["met"] is True for row in rows)
    numbers = [
        computed(ident("models", "floors"), "models", rows, len(rows), "floors set", n=len(rows)),
        computed(ident("models", "met"), "models", rows, met, "floors reached", n=len(rows)),
    ]
    word = "all floors reached" if met == len(rows) else "some floors missed"
    return [*numbers, Word(ident("models", "verdict"), word, tuple(pick.id for pick in numbers))]


FINDING = Finding("models", ("models",), find)
