"""Statements: three outcomes by intervals, and one clear message on a mistake."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pardec.common.errors import UserError
from pardec.evidence.claims import load_claims
from pardec.evidence.ideas import load_ideas
from pardec.evidence.sentences import sentence
from pardec.evidence.statements import Number, Reader, Row, Rows, StatementError, exact, parse


def row(**columns):
    """A row whose column `x` has the interval `x_low` to `x_high`."""
    return Row("quality", {"key": "k", **columns}, {"x": ("x_low", "x_high")})


def between(low, high):
    return row(x=None if low is None else (low + high) / 2, x_low=low, x_high=high)


@pytest.mark.parametrize(
    ("statement", "low", "high", "outcome"),
    [
        ("x > 1", 1.1, 1.2, True), ("x > 1", 0.8, 0.9, False), ("x > 1", 0.9, 1.1, None), ("x > 1", None, None, None),
        ("0.75 <= x <= 1.25", 0.9, 1.1, True), ("0.75 <= x <= 1.25", 1.3, 1.4, False),
        ("0.75 <= x <= 1.25", 0.7, 1.0, None), ("x > 1 or x < 2", 0.5, 1.5, True), ("x > 1 and x < 0", -0.5, 1.5, None),
        ("x > 1 and x < 0", 0.9, 0.95, False), ("not x > 1", 0.8, 0.9, True), ("not x > 1", 0.9, 1.1, None),
        ("1 / x >= 2", 0.2, 0.5, True), ("point(x) > 1", 0.9, 1.3, True), ("x == 1", 0.9, 1.1, None),
        ("x == 1", 2, 3, False), ("x is null", None, None, True), ("x is not null", 1, 2, True),
        ("known(x) and x > 0", None, None, False),
    ],
)  # fmt: skip
def test_a_number_is_compared_by_its_interval(statement, low, high, outcome):
    assert Reader({}).truth(statement, between(low, high)) is outcome


@pytest.mark.parametrize(
    ("statement", "outcome"),
    [
        ("every(lines, x > 1)", None), ("some(lines, x > 1)", True), ("every(lines, name == 'a')", False),
        ("count(lines) == 3", True), ("sizes(lines, name) == 2", True), ("total(lines, point(x)) > 4", True),
        ("lines.name in ['a', 'b']", True), ("lines.name not in ['a', 'b']", False), ("lines.flag", None),
        ("gone.x > 1", None), ("count(gone) == 0", True), ("every(gone, x > 1)", True), ("some(gone, x > 1)", False),
    ],
)  # fmt: skip
def test_statements_over_rows(statement, outcome):
    one = row(x=2.0, x_low=1.5, x_high=2.5, name="a", flag=None)
    two = row(x=1.0, x_low=0.5, x_high=1.5, name="b", flag=True)
    three = row(x=3.0, x_low=2.5, x_high=3.5, name="a", flag=False)
    assert Reader({"lines": Rows([one, two, three]), "gone": Rows()}).truth(statement) is outcome


ENDS = st.floats(-100, 100)


@given(st.tuples(ENDS, ENDS), st.tuples(ENDS, ENDS), st.floats(0, 1), st.floats(0, 1), st.sampled_from("+-*"))
def test_arithmetic_holds_what_it_is_of(a, b, at, to, sign):
    """Whatever numbers two intervals hold, their sum, difference or product lies in the result's interval."""
    (a, b), x, y = (sorted(a), sorted(b)), 0.0, 0.0
    x, y = a[0] + at * (a[1] - a[0]), b[0] + to * (b[1] - b[0])
    scope = {"a": Number(x, *a), "b": Number(y, *b)}
    got = Reader(scope).evaluate(f"a {sign} b")
    truth = {"+": x + y, "-": x - y, "*": x * y}[sign]
    assert got.low - 1e-6 <= truth <= got.high + 1e-6


def test_what_was_compared_is_noted():
    reader = Reader({"one": Rows([between(1, 2)])})
    reader.truth("one.x > 0")
    assert list(reader.used) == ["quality/k/x"]


@pytest.mark.parametrize(
    "text", ["x >", "x + lambda: 1", "open('/etc/passwd')", "x.__class__.__mro__[0]", "f'{x}'"]
)
def test_only_statements_are_evaluated(text):
    with pytest.raises((StatementError, AttributeError)):
        parse(text)
        Reader({"x": exact(1)}).evaluate(text)


CLAIM = """claims:
  - id: mine.1
    statement: It is fast.
    expected: a ratio above one
    rows: {{ row: {{ from: {table}, where: {where}, pick: {pick} }} }}
    reproduced_if: {reproduced_if}
"""
GOOD = {"table": "cells", "where": "status == 'ok'", "pick": "most ratio", "reproduced_if": "row.ratio > 1"}


@pytest.mark.parametrize(
    ("change", "line", "key", "words"),
    [
        ({"table": "sells"}, 5, "rows.row", "neither a selection nor one of"),
        ({"where": "statu == 'ok'"}, 5, "rows.row", "'statu'"),
        ({"where": "status = 'ok'"}, 5, "rows.row", "no statement"),
        ({"pick": "biggest ratio"}, 5, "rows.row", "'biggest'"),
        ({"pick": "most ratios"}, 5, "rows.row", "'ratios'"),
        ({"reproduced_if": "row.ratios > 1"}, 6, "reproduced_if", "row.ratios"),
        ({"reproduced_if": "rows.ratio > 1"}, 6, "reproduced_if", "'rows'"),
        ({"reproduced_if": "fast(row.ratio)"}, 6, "reproduced_if", "fast()"),
        ({"reproduced_if": "row.ratio > 1\n    judge: me"}, 7, "judge", "is not a known key"),
    ],
)
def test_a_mistake_names_file_line_and_key(tmp_path, change, line, key, words):
    path = tmp_path / "claims.yaml"
    path.write_text(CLAIM.format(**GOOD))
    assert load_claims(path).claims[0].id == "mine.1"
    path.write_text(CLAIM.format(**{**GOOD, **change}))
    with pytest.raises(UserError) as caught:
        load_claims(path)
    where = caught.value.where
    assert where.startswith(f"{path}:{line}: claims.0.{key}") and words in caught.value.what


def test_an_idea_without_an_arm_is_refused(tmp_path):
    path = tmp_path / "ideas.yaml"
    text = "baseline: draft\nsampled: s\nreference: ar\nideas:\n"
    text += "  - { id: one, title: One, what: a, hope: b, why: c, settings: [{ name: x, words: y }] }\n"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_ideas(path)
    assert f"{path}:5: ideas.0.settings.0" in caught.value.where


def test_a_sentence_types_no_number():
    scope = {"row": Rows([between(1, 2)])}
    assert sentence("here", "{{ row.x }} times", scope)[0] == {"value": "quality/k/x", "interval": True}
    with pytest.raises(UserError, match="types a number"):
        sentence("here", "{{ row.x }} of 10", scope)
    with pytest.raises(UserError, match="cannot be filled in"):
        sentence("here", "{{ rows.x }}", scope)
