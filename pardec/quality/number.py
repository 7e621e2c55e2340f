"""The final number of a text, for scoring mathematical word problems (GSM8K, Cobbe et al. 2021)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from fractions import Fraction

from pardec.common.errors import UserError
from pardec.quality.base import Context, Metric, Scored, share_of

NEXT_QUESTION = ("Question:", "\nQ:", "</s>", "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|eot_id|>")
"""Strings that end an answer: in lm-eval's tasks `gsm8k` and `gsm8k_cot`, where a model that does not stop continues
with another question, and end tokens of other families."""
PLAIN = (
    ("\\!", ""),
    ("{,}", ","),
    ("{\\,}", "\N{THIN SPACE}"),
    ("\\,", "\N{THIN SPACE}"),
    ("\\;", "\N{THIN SPACE}"),
    ("\\:", "\N{THIN SPACE}"),
    ("\\ ", "\N{THIN SPACE}"),
    ("~", "\N{NO-BREAK SPACE}"),
    ("\\$", "$"),
    ("\\%", "%"),
    ("\\left", ""),
    ("\\right", ""),
    ("\N{ARABIC THOUSANDS SEPARATOR}", ","),
    ("\N{ARABIC DECIMAL SEPARATOR}", "."),
    ("\N{FULLWIDTH COMMA}", ","),
    ("\N{FULLWIDTH FULL STOP}", "."),
    ("\N{FULLWIDTH DOLLAR SIGN}", "$"),
)
"""LaTeX's spacing and escapes, and other scripts' separators, by what they stand for here."""
MARK = re.compile(r"####[ \t]*([^\n]*)")
BOX = re.compile(r"\\(?:boxed|fbox)\s*")
BOXES = 8
"""Number of boxes, from the last one back, that are searched for a number, since a box may be empty."""
MINUS = "-\N{MINUS SIGN}\N{EN DASH}\N{SMALL HYPHEN-MINUS}\N{FULLWIDTH HYPHEN-MINUS}"
SPACES = " \N{NO-BREAK SPACE}\N{NARROW NO-BREAK SPACE}\N{THIN SPACE}\N{FIGURE SPACE}"
"""One such space between groups of exactly three digits separates thousands (ISO 80000-1, 7.3.1)."""
CURRENCIES = r"$\N{EURO SIGN}\N{POUND SIGN}\N{YEN SIGN}\N{INDIAN RUPEE SIGN}"
APOSTROPHES = "'\N{RIGHT SINGLE QUOTATION MARK}"
SLASH = "/\N{FRACTION SLASH}\N{DIVISION SLASH}"
MARKS = ",", f"[{SPACES}]", f"[{APOSTROPHES}]", "_", r"\."
"""Separators of thousands; a full stop only where it comes twice (1.000.000), since 1.000 is a decimal."""
GROUPS = "|".join(
    rf"(?:{mark}\d{{{'2,3' if mark == ',' else '3'}}}){'+' if mark == MARKS[-1] else '*'}{mark}\d{{3}}(?!\d)"
    for mark in MARKS
)
DIGITS = rf"(?:\d{{1,3}}(?:{GROUPS})|\d+)"
"""Digits with or without separators of thousands (or of lakhs: 12,34,567)."""
CONTINENTAL = rf"\d{{1,3}}(?:(?:\.\d{{3}})+|(?:[{SPACES}]\d{{3}})+),\d{{1,2}}(?![\d,])"
"""1.234,56 and 1 234,56, where a full stop or a space separates thousands and a comma the decimals."""
DECIMAL_COMMA = re.compile(
    r"(?<![\d.,])(\d+),(\d{1,2})(?=\s?[%\N{EURO SIGN}])"
    r"|(?<=\N{EURO SIGN})(\s?\d+),(\d{1,2})(?![\d.,])"
    r"|(?<![\w(\[{.,])(0),(\d+)(?![\d.,)\]}])"
)
"""A comma that can only begin decimals: before a percent or euro sign, behind one, or behind a lone zero. Elsewhere
`3,14` may be a list."""
UNSEEN = re.compile("[\u00ad\u200b\u200c\u200d\u2060\ufeff]")
"""Characters that nobody sees, between digits too."""
OVER = re.compile(r"\{([^{}]*)\\over(?![A-Za-z])([^{}]*)\}")
DECIMAL = rf"(?:{CONTINENTAL}|{DIGITS}(?:\.\d+)?|(?<![\d.])\.\d+)"
EXPONENT = r"\s*(?:\^|\*\*)\s*(?:\{\s*[+\-]?\d{1,3}\s*\}|\(\s*[+\-]?\d{1,3}\s*\)|[+\-]?\d{1,3}(?![\d.]))"
POWER = rf"(?:[eE][+\-]?\d{{1,3}}(?![\d\w])|\s*(?:\\times|\\cdot|[x×*·])\s*10{EXPONENT}|{EXPONENT})"
"""A power of ten behind a number, or an exponent of the number itself."""
BEFORE = rf"(?<![\w.)])[{MINUS}][{CURRENCIES}]?|(?<==)\s*[{MINUS}]\s*[{CURRENCIES}]?|[{CURRENCIES}][{MINUS}]?"
"""A sign, a currency, or both; a dash behind a digit, a letter or a bracket is not a sign."""
UNIT_POWER = re.compile(r"(?<=[A-Za-z})])\s?\^\s?(?:\{[+\-]?\d\}|[+\-]?\d)")
"""The exponent of a unit or variable, as in `cm^2`."""
SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")
BRACED = r"[^{}]*(?:\{[^{}]*\}[^{}]*)*"
WRITTEN = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
LATEX = (
    rf"\\[dtc]?frac\s*(?:\{{(?P<top>{BRACED})\}}|(?P<one>\d))\s*(?:\{{(?P<bottom>{BRACED})\}}|(?P<other>\d))"
)
NUMBER = re.compile(
    rf"(?P<sign>{BEFORE})?(?:(?P<mixed>\d+)\s*)?{LATEX}"
    rf"|(?P<sign2>{BEFORE})?(?:(?P<whole>\d+)\s+)?(?<![{SLASH}])(?P<a>{DECIMAL})\s*[{SLASH}]\s*(?P<b>{DECIMAL})(?![\d{SLASH}])"
    rf"|(?P<sign3>{BEFORE})?(?P<plain>{DECIMAL})(?P<power>{POWER})?"
)


def last_number(text: str) -> float | None:
    """Return the number that an answer gives; None without one.

    The first rule that matches decides: the number behind the first `####`, that of the last `\\boxed{}`, the last of
    the text. Text after lm-eval's stop sequences, where a model continues with another question, is ignored.
    Numbers are read as those of lm-eval's `gsm8k`, without currency, separators of thousands or a full stop, and
    beyond it as fractions (`3/4`, `\\frac{3}{4}`, `1 3/4`), powers (`1e3`, `1.2 \\times 10^3`, `2^{10}`), with any
    minus, and with any one space between groups of three digits.
    A percentage is the number before its sign.
    """
    text = text.rpartition("</think>")[2]
    for stop in NEXT_QUESTION:
        text = text.partition(stop)[0]
    text = _plain(text)
    marked = MARK.search(text)
    if marked is not None:
        numbers = _numbers(_unboxed(marked.group(1)))
        if numbers:
            return numbers[0]
    boxes = list(BOX.finditer(text))
    for box in reversed(boxes[-BOXES:]):
        numbers = _numbers(_group(text, box.end()))
        if numbers:
            return numbers[-1]
    numbers = _numbers(text)
    return numbers[-1] if numbers else None


def same_number(text: str, answer: str) -> bool:
    """Return whether a text gives the same number as the answer; false for a text without a number."""
    number = last_number(text)
    return number is not None and number == last_number(answer)


def _plain(text: str) -> str:
    """Return the text without LaTeX's spacing and escapes, without exponents of units, and with characters such as ½
    spelled out."""
    text = UNSEEN.sub("", text)
    for latex, plain in PLAIN:
        text = text.replace(latex, plain)
    text = OVER.sub(r"\\frac{\1}{\2}", text)
    text = DECIMAL_COMMA.sub(lambda match: ".".join(part for part in match.groups() if part), text)
    text = re.sub("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+", lambda match: f"^{{{match.group().translate(SUPERSCRIPTS)}}}", text)
    text = UNIT_POWER.sub("", text)
    return re.sub(r"(\d?)([^\x00-\x7f])", lambda match: match[1] + _spelled(match[2], bool(match[1])), text)


def _spelled(character: str, mixed: bool) -> str:
    """Return a character such as ½ spelled out. mixed: whether it stands behind a digit."""
    if unicodedata.category(character) == "No" and "FRACTION" in unicodedata.name(character, ""):
        value = Fraction(unicodedata.numeric(character)).limit_denominator(100)
        return f"{' ' * mixed}{value.numerator}/{value.denominator}"
    return character


def _group(text: str, start: int) -> str:
    """Return the text in braces at `start`, nested ones included; without a brace, the rest of the line's word."""
    if text[start : start + 1] != "{":
        return (text[start:].split(maxsplit=1) or [""])[0]
    depth = 0
    for place in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[place], 0)
        if depth == 0:
            return text[start + 1 : place]
    return text[start + 1 :]


def _unboxed(text: str) -> str:
    box = BOX.search(text)
    return text if box is None else _group(text, box.end())


def _numbers(text: str) -> list[float]:
    values = (_value(match) for match in NUMBER.finditer(text))
    return [value for value in values if value is not None]


def _value(match: re.Match[str]) -> float | None:
    part = match.groupdict()
    try:
        if part["plain"]:
            value = _powered(_decimal(part["plain"]), part["power"])
        elif part["a"]:
            value = int(part["whole"] or 0) + _decimal(part["a"]) / _decimal(part["b"])
        else:
            top, bottom = (
                _inner(part[group] or part[digit]) for group, digit in (("top", "one"), ("bottom", "other"))
            )
            value = int(part["mixed"] or 0) + top / bottom
        sign = part["sign"] or part["sign2"] or part["sign3"] or ""
        return float(-value if any(mark in sign for mark in MINUS) else value)
    except (ZeroDivisionError, OverflowError, ValueError):
        return None


def _decimal(text: str) -> Fraction:
    if re.fullmatch(CONTINENTAL, text):
        text = re.sub(rf"[.{SPACES}]", "", text).replace(",", ".")
    text = re.sub(rf"[,_{APOSTROPHES}{SPACES}]", "", text)
    return Fraction(text.replace(".", "") if text.count(".") > 1 else text)


def _inner(text: str) -> Fraction:
    """Return the number in the braces of a LaTeX fraction; ValueError if they contain anything else."""
    text = WRITTEN.sub(r"\1", text)
    numbers = _numbers(text)
    if len(numbers) != 1 or re.search(r"\\(?![dtc]?frac)", text):
        raise ValueError(text)
    return Fraction(str(numbers[0]))


def _powered(value: Fraction, text: str | None) -> Fraction:
    """Return a number times the power of ten that follows it, or raised to its own exponent; ValueError if that is
    huge."""
    if not text:
        return value
    digits = re.search(r"[+\-]?\d+(?=\s*[})]?$)", text)
    if digits is None:
        raise ValueError(text)
    exponent = int(digits.group())
    if not re.match(r"\s*(?:\^|\*\*)", text):
        return value * Fraction(10) ** exponent
    if abs(exponent) * max(value.numerator.bit_length(), value.denominator.bit_length()) > 4096:
        raise OverflowError(text)
    return value**exponent


class Number(Metric):
    """Fraction of outputs that give the reference's number (in GSM8K, the one behind ####), with Wilson's interval. An
    output without a number is wrong; a reference without one gives its prompt no score."""

    name = "number"
    title = "right numbers"
    better = "higher"
    unit = "fraction"
    span = 1.0
    needs = frozenset({"answer"})

    def _measure(self, outputs: Sequence[dict], context: Context) -> Scored:
        right = [
            None if last_number(row["answer"]) is None else float(same_number(row["text"], row["answer"]))
            for row in outputs
        ]
        if not any(value is not None for value in right):
            what = f"needs answers with a number, and none has one, as {outputs[0]['answer'][:60]!r}"
            raise UserError("metric 'number'", what, "name another answer_field, or use metric exact")
        return share_of(right)
