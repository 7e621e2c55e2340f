"""Describe the columns of tables: unit, interval, kind, direction and label. Imports no pandas."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

KINDS = {
    "text": "words",
    "flag": "yes or no",
    "exact": "decided by the study or by a model's shape: equal in every run",
    "count": "counted in outputs (tokens, passes, tau): equal where the same prompts gave the same tokens",
    "tally": "how many rows got a verdict: the rows are compared, not their number",
    "size": "how many samples, pairs or prompts stand behind another number: the stopping rule decides",
    "quality": "scored from outputs: no clock takes part",
    "time": "read from a clock: processes of one configuration differ by more than their samples scatter",
    "rate": "an amount over a time",
    "tail": "a tail percentile of times, without an interval",
    "reading": "one reading of a clock",
    "ratio": "of times that one process measured in pairs, so that most of its noise cancels",
    "share": "a part of a whole that one process measured",
    "fit": "a parameter fitted over several cells",
    "memory": "an amount of memory",
    "energy": "an amount of energy",
    "precision": "how precise the run was, not what it measured",
}
"""Kinds of numbers. Comparison of runs, rounding and figures use the kind, never the column's name."""
BY_UNIT = {
    **dict.fromkeys(("ms", "s"), "time"),
    **dict.fromkeys(("tokens/s", "characters/s", "GFLOP/s"), "rate"),
    **dict.fromkeys(("FLOP", "B", "FLOP/B"), "exact"),
    **dict.fromkeys(("tokens", "passes", "characters", "chunks", "roots"), "count"),
    **dict.fromkeys(("ms/token", "ms/root", "passes/token"), "fit"),
    "×": "ratio",
    "nats/token": "quality",
    "MB": "memory",
    "J": "energy",
}
"""Default kind of a number, by its unit."""
SIZES = ("samples", "pairs")
"""Units of whole numbers that are sizes."""
DIRECTION = {
    **dict.fromkeys(("time", "tail", "reading", "memory", "energy"), "lower"),
    "rate": "higher",
}
"""Better direction by kind; columns of other kinds declare their own."""
FORMS = {
    "text": "string",
    "flag": "boolean",
    "count": "integer",
    "size": "integer",
    "number": "number",
    "interval": "number",
}
"""Forms of a declared column, and the type of its entries."""
OPTIONS = ("of", "kind", "better", "stem", "label")


@dataclass(frozen=True)
class Column:
    """Description of one column.

    dtype: "string", "integer", "number" or "boolean". unit: `@name` if column `name` gives it per row.
    low, high: names of the columns with the ends of its interval.
    count: name of the column with the number of values behind it. kind: one of `KINDS`. better: "higher", "lower", the
    name of the column that gives the direction per row, or None. label: its name on the page.
    """

    dtype: str
    unit: str
    description: str
    nullable: bool = True
    low: str | None = None
    high: str | None = None
    count: str | None = None
    kind: str = ""
    better: str | None = None
    label: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"column ({self.description}): kind {self.kind!r} is none of {', '.join(KINDS)}")
        if self.kind == "quality" and self.better is None:
            raise ValueError(f"column ({self.description}): a quality says which direction is better")

    def unit_in(self, row: Mapping[str, Any]) -> str:
        """Return the unit of the entry in `row`."""
        return (row.get(self.unit[1:]) or "") if self.unit.startswith("@") else self.unit

    @property
    def numeric(self) -> bool:
        """Return whether its values are numbers."""
        return self.dtype in ("integer", "number")

    def lower_is_better(self, row: Mapping[str, Any] | None = None) -> bool | None:
        """Return whether a lower number is better in `row`; None if there is no better direction or it is unknown."""
        direction = self.better
        if direction not in ("higher", "lower", None):
            direction = (row or {}).get(direction)
        return {"lower": True, "higher": False}.get(direction)


def columns(declared: str) -> dict[str, Column]:
    """Return the columns of a declaration: an entry per column, whose further lines are indented.

    An entry is `name form [unit] [option=value ...] | description`. Forms: see `FORMS`; `interval` adds the columns of
    a 95 % interval, `<stem>_low` and `<stem>_high`, where the stem is the name unless the option `stem` is set; a form
    with `!` has no empty entries. Options: of, the column with the number of values behind it (of an interval `n` by
    default); kind, by default what the form or unit implies; better, by default what the kind implies, `neither` for
    none; label, by default the name in words.

    Raises:
        ValueError: an entry is wrong.
    """
    made: dict[str, Column] = {}
    for entry in re.split(r"\n(?=\S)", declared.strip()):
        head, _, description = entry.partition("|")
        made |= _made(" ".join(description.split()), *shlex.split(head))
    return made


def _made(description: str, name: str, form: str, *words: str) -> dict[str, Column]:
    options = dict(word.split("=", 1) for word in words if "=" in word)
    units = [word for word in words if "=" not in word]
    required, form = form.endswith("!"), form.removesuffix("!")
    if form not in FORMS or len(units) > 1 or set(options) - set(OPTIONS):
        raise ValueError(f"column {name!r} ({description}) is not declared as columns are")
    unit = "".join(units)
    kind = options.get("kind") or _kind(form, unit)
    better = options.get("better", DIRECTION.get(kind))
    column = Column(
        FORMS[form],
        unit,
        description,
        nullable=not required,
        count=options.get("of", "n" if form == "interval" else None),
        kind=kind,
        better=None if better == "neither" else better,
        label=options.get("label") or plain(name, unit),
    )
    if form != "interval":
        return {name: column}
    low, high = (f"{options.get('stem', name)}_{end}" for end in ("low", "high"))
    ends = {
        end: replace(
            column, description=f"{which} end of the 95 % interval of {name}", label=f"{column.label}, {word}"
        )
        for end, which, word in ((low, "lower", "from"), (high, "upper", "to"))
    }
    return {name: replace(column, low=low, high=high), **ends}


def _kind(form: str, unit: str) -> str:
    if form in ("number", "interval"):
        return BY_UNIT.get(unit, "")
    return form if form != "count" else "size" if unit in SIZES else "exact"


def plain(name: str, unit: str = "") -> str:
    """Return a column's name in words, without the unit at its end: `latency_ms` -> "latency"."""
    ends = {"ms": "_ms", "s": "_s", "MB": "_mb", "tokens/s": "_tokens_per_s", "J": "_joules"}
    return name.removesuffix(ends.get(unit, "")).replace("_", " ")


KEY = columns("key text! label=row | the row's key, part of the ids of its values")["key"]
SOURCES = columns("""
record          text | the file this row comes from; several are separated by spaces
record_sha256   text | SHA-256 of each of those files, in the same order
""")
