"""Describe the columns of tables: unit, interval, kind, direction and label. Imports no pandas."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

KINDS = {
    "text": "words",
    "flag": "yes or no",
    "exact": "decided by the study or by a model's shape: equal in every run",
    "count": "counted in outputs (tokens, passes, tau): equal where the same prompts gave the same tokens",
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
    **dict.fromkeys(("tokens", "passes", "characters", "roots"), "count"),
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
    "time": "lower",
    "tail": "lower",
    "reading": "lower",
    "memory": "lower",
    "energy": "lower",
    "rate": "higher",
}
"""Better direction by kind; columns of other kinds declare their own."""
NEITHER = "neither"


@dataclass(frozen=True)
class Column:
    """Description of one column.

    dtype: "string", "integer", "number" or "boolean". low, high: names of the columns with the ends of its interval.
    count: name of the column with the number of values behind it. kind: one of `KINDS`. better: "higher", "lower", the
    name of the column that gives the direction per row, or None. label: its name on the page; if empty, the column's
    name without its unit.
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

    @property
    def numeric(self) -> bool:
        return self.dtype in ("integer", "number")

    def lower_is_better(self, row: dict | None = None) -> bool | None:
        """Returns whether a lower number is better in `row`; None if there is no better direction or it is unknown."""
        direction = self.better
        if direction not in ("higher", "lower", None):
            direction = (row or {}).get(direction)
        return {"lower": True, "higher": False}.get(direction)


def text(description: str, nullable: bool = True, label: str = "") -> Column:
    return Column("string", "", description, nullable, kind="text", label=label)


def flag(description: str, label: str = "") -> Column:
    return Column("boolean", "", description, kind="flag", label=label)


def count(
    description: str, unit: str = "", kind: str = "", label: str = "", better: str | None = None
) -> Column:
    """Returns a column of whole numbers; its kind is "exact" unless `kind` or the unit implies another."""
    return Column(
        "integer",
        unit,
        description,
        kind=kind or ("size" if unit in SIZES else "exact"),
        label=label,
        better=better,
    )


def size(description: str, unit: str = "", label: str = "", nullable: bool = True) -> Column:
    """Returns a column with the number of values behind another number."""
    return Column("integer", unit, description, nullable, kind="size", label=label)


def number(
    unit: str,
    description: str,
    count: str | None = None,
    kind: str = "",
    better: str | None = None,
    label: str = "",
) -> Column:
    """Returns a column of numbers without an interval.

    kind: defaults to `BY_UNIT` of the unit. better: defaults to `DIRECTION` of the kind; "neither" overrules it.
    """
    kind = kind or BY_UNIT.get(unit, "")
    return Column(
        "number", unit, description, count=count, kind=kind, better=_better(kind, better), label=label
    )


def measured(
    name: str,
    unit: str,
    description: str,
    stem: str = "",
    count: str = "n",
    kind: str = "",
    better: str | None = None,
    label: str = "",
) -> dict[str, Column]:
    """Returns a number's column and those of its 95 % interval, `<stem>_low` and `<stem>_high`; see `number`."""
    stem, kind = stem or name, kind or BY_UNIT.get(unit, "")
    low, high = f"{stem}_low", f"{stem}_high"
    of: dict[str, Any] = {"count": count, "kind": kind, "better": _better(kind, better)}
    label = label or plain(name, unit)
    return {
        name: Column("number", unit, description, low=low, high=high, label=label, **of),
        low: Column(
            "number", unit, f"lower end of the 95 % interval of {name}", label=f"{label}, from", **of
        ),
        high: Column("number", unit, f"upper end of the 95 % interval of {name}", label=f"{label}, to", **of),
    }


def plain(name: str, unit: str = "") -> str:
    """Returns a column's name in words, without the unit at its end: `latency_ms` -> "latency"."""
    ends = {"ms": "_ms", "s": "_s", "MB": "_mb", "tokens/s": "_tokens_per_s", "J": "_joules"}
    return name.removesuffix(ends.get(unit, "")).replace("_", " ")


def _better(kind: str, direction: str | None) -> str | None:
    return None if direction == NEITHER else direction or DIRECTION.get(kind)


KEY = Column(
    "string", "", "the row's name, part of the ids of its values", nullable=False, kind="text", label="row"
)
SOURCES = {
    "record": text("the file this row comes from; several are separated by spaces"),
    "record_sha256": text("SHA-256 of each of those files, in the same order"),
}
