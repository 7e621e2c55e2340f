"""What a claim, a judge and a judgement are."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from pardec.evidence.findings.base import Row, Rows

REPRODUCED = "reproduced"
CONTRADICTED = "contradicted"
NOT_TESTABLE = "not testable here"
NOT_RUN = "not run yet"
UNDECIDED = "undecided"
"""Of a part only: its interval allows both."""
VERDICTS = (REPRODUCED, CONTRADICTED, NOT_TESTABLE, NOT_RUN)

Piece = str | dict[str, Any]
"""A piece of a sentence: words; {"value": id, "interval": bool}, a published number; {"name": text}, a quoted name."""
Values = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Claim:
    """One statement of a seed.

    id: seed and number, as "004.1". statement: what is claimed, or asked. expected: what must be seen for the claim to
    hold here. free: the part that does not depend on the machine's or the model's size; empty where there is none.
    judge: name in the registry of judges; None where no experiment of the project tests it yet. waits: what is missing.
    """

    id: str
    statement: str
    expected: str
    free: str = ""
    judge: str | None = None
    waits: str = ""

    @property
    def seed(self) -> str:
        return self.id.partition(".")[0]


@dataclass(frozen=True)
class Part:
    """The claim held against one task or series: reproduced, contradicted or undecided.

    said: the sentence on this part. short: the few numbers that stand behind its name in a list of parts.
    """

    name: str
    verdict: str
    said: tuple[Piece, ...]
    short: tuple[Piece, ...] = ()


@dataclass(frozen=True)
class Judgement:
    """verdict: one of `VERDICTS`. said: the measured sentence. reason: why it is not testable, or which half is not."""

    verdict: str
    said: tuple[Piece, ...] = ()
    reason: str = ""
    parts: tuple[Part, ...] = ()

    @property
    def evidence(self) -> tuple[str, ...]:
        """Ids of all values that the sentences print, each once."""
        pieces = [*self.said, *(piece for part in self.parts for piece in part.said)]
        return tuple(
            dict.fromkeys(piece["value"] for piece in pieces if "value" in piece and _is_dict(piece))
        )


@dataclass(frozen=True)
class Judge:
    """needs: tables it cannot do without. judge: rows of the tables, published values -> what they say."""

    needs: tuple[str, ...]
    judge: Callable[[Rows, Values], Judgement]


def _is_dict(piece: Piece) -> bool:
    return isinstance(piece, dict)


def value(ident: str, interval: bool = True) -> Piece:
    """A published number in a sentence."""
    return {"value": ident, "interval": interval}


def cell(table: str, row: Row, column: str, interval: bool = True) -> Piece:
    """The number in a table's cell."""
    return value(f"{table}/{row['key']}/{column}", interval)


def name(text: str) -> Piece:
    """A name of the study: shown as it is."""
    return {"name": text}


def listed(parts: Iterable[Part]) -> list[Piece]:
    """Names of parts with commas between, and "and" before the last; behind each what it says in short."""
    parts = list(parts)
    pieces: list[Piece] = []
    for place, part in enumerate(parts):
        if place:
            pieces.append(" and " if place == len(parts) - 1 else ", ")
        pieces += [name(part.name), *((" (", *part.short, ")") if part.short else ())]
    return pieces


def overall(parts: list[Part], undecided: str) -> tuple[str, str]:
    """(verdict, reason) of a claim made of every part.

    One part that shows the opposite contradicts it; with none, one that shows it and none undecided to the contrary
    reproduces it; where no part decides, it is not testable here for the reason `undecided`. Without any part nothing
    of it was run.
    """
    if not parts:
        return NOT_RUN, ""
    found = {part.verdict for part in parts}
    if CONTRADICTED in found:
        return CONTRADICTED, ""
    return (REPRODUCED, "") if REPRODUCED in found else (NOT_TESTABLE, undecided)


def tally(parts: list[Part], holds: str, fails: str, open_: str) -> tuple[Piece, ...]:
    """One sentence that says of which parts the claim holds, of which not, and which stay open."""
    pieces: list[Piece] = []
    first = True
    for verdict, words in ((REPRODUCED, holds), (CONTRADICTED, fails), (UNDECIDED, open_)):
        of = [part for part in parts if part.verdict == verdict]
        if of:
            pieces += [f"{words[0].upper()}{words[1:]} " if first else f"; {words} ", *listed(of)]
            first = False
    return (*pieces, ".") if pieces else ()
