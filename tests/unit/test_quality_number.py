"""Numbers of answers: each form that models write, and agreement with other libraries' readings."""

from __future__ import annotations

import re

import pytest

from pardec.common.errors import UserError
from pardec.quality.base import Context
from pardec.quality.number import Number, last_number, same_number

FORMS = {
    "3/4": 0.75,
    "a half, \\frac{1}{2}": 0.5,
    "\\dfrac{3}{8}": 0.375,
    "\\tfrac12": 0.5,
    "-\\frac{7}{2}": -3.5,
    "\\frac{-7}{2}": -3.5,
    "1\\frac{1}{2}": 1.5,
    "1 3/4 cups": 1.75,
    "½ a cup": 0.5,
    "1½": 1.5,
    "it is .5": 0.5,
    "-.25": -0.25,
    "\N{MINUS SIGN}5": -5,
    "\N{EN DASH}5 degrees": -5,
    "1\N{NO-BREAK SPACE}000": 1000,
    "12\N{NARROW NO-BREAK SPACE}345\N{NARROW NO-BREAK SPACE}678": 12345678,
    "12'345.5": 12345.5,
    "1\N{RIGHT SINGLE QUOTATION MARK}000": 1000,
    "1_000": 1000,
    "1.000.000": 1000000,
    "1.000": 1,
    "<think>\n#### 7\n</think>\n#### 18": 18,
    "1e3": 1000,
    "2.5E-1": 0.25,
    "1.2 \\times 10^{3}": 1200,
    "3 × 10^2": 300,
    "$1,234.50": 1234.5,
    "-$5": -5,
    "\\$1{,}234": 1234,
    "10,\\!000": 10000,
    "12,34,567": 1234567,
    "50%": 50,
    "50\\%": 50,
    "the sides are 1,2,3": 3,
    "1 to 5-3": 3,
    "(2)-3": 3,
    "10 - 3": 3,
    "10 -3": -3,
    "\\frac{\\text{3}}{4}": 0.75,
    "\\frac{1{,}000}{4}": 250,
    "\\frac{\\sqrt{4}}{2}": None,
    "\\boxed{3\\frac{1}{2}}": 3.5,
    "\\boxed{x=5}, y = 6": 5,
    "72 clips, altogether.": 72,
    "The cost is $29.00.": 29,
    "it is 7...": 7,
    "10/0": None,
    "none, really.": None,
    "1e999": None,
    "#### 18\nThat is what 20 people pay": 18,
    "#### 18\n\nQuestion: next?\n#### 5": 18,
    "#### $1,200 a year of 52 weeks": 1200,
    "#### \\boxed{18}": 18,
    "####\nnothing, so 4": 4,
    "18 in all.\n\nQuestion: how many are 7?": 18,
    "18<|im_end|>7": 18,
    "\\boxed{18} of 20": 18,
    "\\boxed{\\frac{3}{4}} of 20": 0.75,
    "\\boxed{\\text{about } \\frac{1}{2}}, I think; 3": 0.5,
    "first \\boxed{3}, no, \\boxed{4}. Done in 2 steps": 4,
    "\\boxed{17": 17,
    "48/2=<<48/2=24>>24 clips": 24,
    "on 3/4/2024": 2024,
    "1 000": 1000,
    "#### 1 000": 1000,
    "\\boxed{250 000}": 250000,
    "It is 12 345 678 people.": 12345678,
    "-1 000.50": -1000.5,
    "$1 000": 1000,
    "1 000 000,50 euros": 1000000.5,
    "1.234,56": 1234.56,
    "1.234.567,89": 1234567.89,
    "1~000": 1000,
    "1\\ 000": 1000,
    "1{\\,}000": 1000,
    "1\N{FIGURE SPACE}000": 1000,
    "1\N{THIN SPACE}000": 1000,
    "1 100/200": 1.5,
    "in 2020 100 people": 100,
    "12 34": 34,
    "1 2 3": 3,
    "10^3": 1000,
    "2^{10}": 1024,
    "10**3": 1000,
    "3 × 10²": 300,
    "10⁻³": 0.001,
    "1.5e-3": 0.0015,
    "9^999^9": 9,
    "5 cm^2": 5,
    "5 m²": 5,
    "\\boxed{18\\text{ cm}^2}": 18,
    "\\boxed{12\\,\\mathrm{m}^{3}}": 12,
    "-€5": -5,
    "£1,200": 1200,
    "x = - 5": -5,
    "= -\\frac12": -0.5,
    "- 5 apples": 5,
    "12.5 \\%": 12.5,
    "١٬٠٠٠": 1000,
    "１，０００": 1000,
    "5,50 €": 5.5,
    "€5,50": 5.5,
    "12,5 \\%": 12.5,
    "it is 0,5": 0.5,
    "-0,25": -0.25,
    "the point (0,5)": 5,
    "0,1,2": 2,
    "10,000 %": 10000,
    "4\u200b2": 42,
    "1\u200b,000": 1000,
    "\ufeff42": 42,
    "\\boxed{{3 \\over 4}}": 0.75,
    "-¾": -0.75,
    "-2¾": -2.75,
    "\N{MINUS SIGN}½ of it": -0.5,
    "18\n\nQ: how many are 7?": 18,
    "18<|endoftext|>7": 18,
    "18<|eot_id|>7": 18,
    "\N{ARABIC-INDIC DIGIT FOUR}\N{ARABIC-INDIC DIGIT TWO}": 42,
}


@pytest.mark.parametrize("text", FORMS)
def test_every_form_of_a_number(text):
    assert last_number(text) == FORMS[text]


def test_numbers_are_compared_by_value():
    assert same_number("so \\frac{3}{4}", "0.75") and same_number("1,200.00", "#### 1200")
    assert not same_number("none", "none") and not same_number("1000000001", "1000000000")


def test_answers_without_a_number_have_no_score_and_none_at_all_is_refused():
    rows = [{"text": "so 4", "answer": answer} for answer in ("4", "Paris", "#### 5")]
    scored = Number().measure(rows, Context())
    assert (scored.value, scored.n, scored.per_prompt) == (0.5, 2, [1.0, None, 0.0])
    with pytest.raises(UserError, match="needs answers with a number, and none has one, as 'Paris'"):
        Number().measure(rows[1:2], Context())


def test_hostile_texts_are_read_fast():
    for text in (
        "1," * 50_000,
        "\\boxed{" * 20_000,
        "-" * 100_000,
        "\\frac{1}" * 20_000,
        "9" * 5000,
        "1 000 " * 20_000,
        "9^" * 50_000,
        "1.000" * 20_000,
    ):
        last_number(text)


FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
PROSE = [
    "So 3 + 4 = 7 apples.",
    "It costs $1,200 in all.",
    "He sells 25 and keeps 12. The answer is 13",
    "After 2.5 hours, 40 km remain.",
    "That makes -12 degrees",
    "In total 1,234,567 people",
    "The total cost is $29.00.",
]


@pytest.mark.parametrize("text", PROSE)
def test_prose_reads_as_lm_eval_reads_it(text):
    """Its task gsm8k: the last match of flexible-extract, without commas, dollars and a full stop."""
    theirs = FLEXIBLE.findall(text)[-1]
    cleaned = re.sub(r"[,$]|\.$", "", "".join(theirs))
    assert last_number(text) == float(cleaned)


THEIRS = (
    "%",
    "#",
    "\\!",
    "1\\frac",
    "\\text",
    "{,}",
    "{\\,}",
    "\\ 0",
    " 000",
    "{3\\frac",
    "= -",
    "x=",
    "{17",
    "first",
)
"""Marks of forms that math-verify reads otherwise: 1 000 as a product, 1{,}000 as 1."""


@pytest.mark.parametrize("text", [key for key, value in FORMS.items() if value is not None and "\\" in key])
def test_latex_reads_as_math_verify_reads_it(text):
    library = pytest.importorskip("math_verify")
    if any(mark in text for mark in THEIRS):
        pytest.skip("GSM8K's own marks, or a form in which that library differs (several boxes are a set)")
    theirs = library.parse(text if "boxed" in text else f"${text.rpartition(', ')[2]}$".replace("$\\$", "$"))
    assert library.verify(library.parse(str(FORMS[text])), theirs)
