"""How a value is printed: figures, units, intervals, and where it leads."""

from __future__ import annotations

import pytest

from pardec.evidence.values import stated
from pardec.report.book import Book, figures, grouped


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.345, "12.3"),
        (0.0012345, "0.00123"),
        (12345.6, "12,346"),
        (0, "0"),
        (3.0, "3"),
        (999.96, "1,000"),
        (-0.5, "-0.500"),
        (1e6, "1,000,000"),
    ],
)
def test_figures(value, text):
    assert figures(value) == text


def test_grouped():
    assert grouped("22972.50") == "22,972.50"
    assert grouped("-5") == "-5"


@pytest.fixture
def book():
    values = {
        "t/a/x": {
            "value": 1.2345,
            "unit": "ms",
            "ci_low": 1.1,
            "ci_high": 1.3,
            "text": "1.23",
            "text_low": "1.10",
            "text_high": "1.30",
        },
        "t/a/none": {"value": None, "unit": "ms"},
        "t/a/one": stated("t/a/one", 1, "steps", None, None),
        "t/a/<b>": stated("t/a/<b>", 2.0, "×", None, None),
    }
    return Book(values, {"measure": {"samples": [1, 2]}})


def test_book_prints_the_published_rounding(book):
    assert "1.23\N{NO-BREAK SPACE}ms" in book.value("t/a/x")
    assert "[1.10, 1.30]" in book.value("t/a/x", interval=True)


def test_book_nulls_singulars_and_escapes(book):
    assert "–" in book.value("t/a/none")
    assert "1\N{NO-BREAK SPACE}step<" in book.value("t/a/one")
    assert 'data-v="t/a/&lt;b&gt;"' in book.value("t/a/<b>")
    assert ">2×<" in book.value("t/a/<b>")
    assert 'data-cfg="measure.samples">1, 2</a>' in book.cfg("measure.samples"), (
        "a key opens, as a value does"
    )
    assert book.keys == {"measure.samples": "1, 2"}
    assert not hasattr(book, "count"), "a count is a value"
    assert book.raw("<i>3</i>", "file") == '<code data-source="file">&lt;i&gt;3&lt;/i&gt;</code>'
