"""The form of a file of claims: selections of rows, statements about them, parts, and sentences.

Six shapes of statement judge all claims: a number against a bound or within a range (`ratio > 40`,
`0.75 <= fit.exponent <= 1.25`), an order (`1 > sparse.ratio > dense.ratio`), a count (`nfe == new_tokens`), a verdict
of a table (`row.speed_status == 'validated'`), each of them over rows (`every(rows, nfe == 2)`), and a tally over parts
(tasks, arms, sizes). A claim without a statement is shown without a verdict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Literal

from jinja2 import TemplateSyntaxError
from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from pardec.common.settings import Settings
from pardec.evidence.sentences import template
from pardec.evidence.statements import parse

PICKS = ("first", "last", "most", "least", "nearest")


def _accepted(check: Callable[[str], Any]) -> AfterValidator:
    """Return the validator of a text that `check` accepts, or that is empty."""

    def validate(text: str) -> str:
        try:
            if text:
                check(text)
        except TemplateSyntaxError as error:
            raise ValueError(f"is no template ({error})") from None
        return text

    return AfterValidator(validate)


def _pick(text: str) -> None:
    if (way := text.split()[0]) not in PICKS:
        raise ValueError(f"picks by {way!r}, which is none of {', '.join(PICKS)}")


Statement = Annotated[str, _accepted(parse)]
Sentence = Annotated[str, _accepted(template)]
Pick = Annotated[str, _accepted(_pick)]
Picks = Annotated[list[Pick], BeforeValidator(lambda given: [given] if isinstance(given, str) else given)]


class Requirement(Settings):
    """A requirement on a row for its claim to be judged."""

    that: Statement
    """A statement; rows for which it is false or open are not judged."""
    reason: str
    """Why the claim is not testable here if no row is left."""


class Selection(Settings):
    """Rows of a table."""

    source: str = Field(alias="from")
    """A table, another selection, or `values` and the first part of the ids of published values."""
    where: Statement = ""
    """A statement that must be true for a row."""
    require: list[Requirement] = []
    """Requirements on these rows, in turn."""
    match: list[str] = []
    """Columns in which a row equals the part's first row."""
    order: list[str] = []
    """Columns to sort by."""
    pick: Picks = []
    """One row: first, last, most COLUMN, least COLUMN, nearest COLUMN NUMBER; in a list, the next one decides ties.
    The interval of the largest or smallest of several is adjusted for the choice; `chosen_from` says of how many."""
    each: list[str] = []
    """Pick one row for each value of these columns."""
    optional: bool = False
    """Whether the claim is also judged without such a row."""


class Parts(Settings):
    """A claim judged on each of several parts: tasks, arms, sizes, series."""

    source: str = Field(alias="from")
    """The selection that is divided."""
    by: list[Statement] = []
    """Columns or expressions that are equal within a part; without any, all rows are one part."""
    keep: Statement = ""
    """A statement about the part's rows (`part`); parts for which it is not true are dropped."""
    longest: str = ""
    """A column: among parts with the same entry, only the one with most rows is kept."""
    pick: Pick = ""
    """The one part to keep, by its first row: most COLUMN or least COLUMN."""
    order: list[str] = []
    """Columns that sort a part's rows."""
    sort: list[str] = []
    """Columns that sort the parts."""
    rows: dict[str, Selection] = {}
    """Further selections, made for each part."""
    name: Sentence
    """A template of the part's name."""
    reproduced_if: Statement = ""
    """The statement."""
    contradicted_if: Statement = ""
    """What contradicts it; where empty, that it is shown to be otherwise."""
    sentence: Sentence
    """A template of the sentence on it."""
    short: Sentence = ""
    """A template of the numbers after its name in a list."""


class Reasons(Settings):
    """Words, each begun by a class (precision, quality, sizes, hardware, weights, engine, study) and a colon."""

    open: str = "precision: the intervals allow both"
    """Why it is not testable if the measurements leave it open."""
    missing: str = ""
    """Why it is not testable without rows; if empty, it was not run."""
    decided: str = ""
    """Which half of the claim the verdict leaves out."""
    unrun: str = ""
    """Why it was not run, if not given by `waits`."""


class Claim(Settings):
    """One claim."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
    """Group and number, as 004.1."""
    statement: str
    """The claim, or the question."""
    expected: str
    """The observation that would reproduce it here."""
    free: str = ""
    """The part that is independent of machine and size."""
    waits: str = ""
    """What a study lacks if it does not judge the claim."""
    rows: dict[str, Selection] = {}
    """Selections by name; a later one may use an earlier one."""
    parts: list[Parts] = []
    """The parts it is judged on."""
    tally: Literal["", "every", "some", "first"] = ""
    """every: a part that contradicts it decides, else one that reproduces it. some: a part that reproduces it decides;
    it is contradicted if all parts are. first: a part that reproduces it decides, else one that contradicts it."""
    reproduced_if: Statement = ""
    """The statement, if the claim is not a tally. It may use `parts_every` and `parts_some`."""
    contradicted_if: Statement = ""
    """What contradicts it; where empty, that it is shown to be otherwise."""
    unrun: Statement = ""
    """A statement: if true, the claim was not run, for `reasons.unrun`."""
    sentence: Sentence = ""
    """A template of the measured sentence."""
    reasons: Reasons = Reasons()
    """Why it was not judged."""

    @property
    def group(self) -> str:
        """Return the part of its id before the first dot: the seed document."""
        return self.id.partition(".")[0]

    @property
    def judged(self) -> bool:
        """Return whether it has a condition, and so gets a verdict."""
        return bool(self.reproduced_if or self.tally)

    @property
    def rule(self) -> str | None:
        """Return the statement that decides: the claim's, or that of the parts that it tallies; None without any."""
        parts = [part.reproduced_if for part in self.parts] if self.tally else []
        return next(filter(None, [self.reproduced_if, *parts]), None)

    @model_validator(mode="after")
    def _parts_to_tally(self) -> Claim:
        if self.tally and not self.parts:
            raise ValueError("tally adds up parts, and there are none")
        return self


class Claims(Settings):
    """A file of claims."""

    groups: dict[str, str] = {}
    """Sources of claims, by the first part of their ids."""
    rows: dict[str, Selection] = {}
    """Selections that several claims share."""
    claims: list[Claim] = Field(min_length=1)
    """The claims."""
