"""Which rows answer the question. Selection only: the words stand in the templates, the numbers in the
values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pardec.report.rows import SEQUENTIAL, Row

VERDICTS = ("faster", "no difference shown", "slower")


@dataclass
class Outcome:
    """What became of each task at equal quality. Lists of crossover rows, one a task: its best series."""

    faster: list[Row] = field(default_factory=list)
    slower: list[Row] = field(default_factory=list)
    even: list[Row] = field(default_factory=list)
    unmatched: list[Row] = field(default_factory=list)
    unjudged: list[Row] = field(default_factory=list)

    @property
    def all(self) -> list[Row]:
        return [*self.faster, *self.even, *self.slower, *self.unmatched, *self.unjudged]


def outcome(crossover: list[Row]) -> Outcome:
    """Sort tasks by the best that any of their series shows at equal quality."""
    result = Outcome()
    for task in dict.fromkeys(row["task"] for row in crossover):
        series = [row for row in crossover if row["task"] == task]
        best = max(series, key=_merit)
        _place(result, best).append(best)
    return result


def _place(result: Outcome, row: Row) -> list[Row]:
    if row["observed"] is None:
        return result.unjudged
    if not row["observed"]:
        return result.unmatched
    places = {"faster": result.faster, "slower": result.slower, "no difference shown": result.even}
    return places.get(row["fastest_verdict"], result.unjudged)


def _merit(row: Row) -> tuple[int, float]:
    return (2 if row["observed"] else 1 if row["observed"] is not None else 0), row["fastest_ratio"] or 0.0


def is_parallel(row: Row) -> bool:
    return row["decoder"] not in SEQUENTIAL


def best_by(rows: list[Row], column: str) -> list[Row]:
    """For each value of `column`, ascending, the fastest parallel cell that passed its quality gate, or else
    None's place.

    A value of `column` at which no cell passed is left out.
    """
    found = []
    for point in sorted({row[column] for row in rows if row[column] is not None}):
        here = [row for row in rows if row[column] == point and is_parallel(row)]
        passed = [row for row in here if row["gate"] and row["ratio"] is not None]
        if passed:
            found.append(max(passed, key=lambda row: row["ratio"]))
    return found


@dataclass
class Tables:
    """What the Mega-Grid shows. Rows of `grid`, and of `grid_growth` for one quantity each.

    sequential: the reference's growth by quantity. parallel: by arm, growth at the fewest passes that are right, by
    quantity. fastest: at each size the fastest parallel cell that is right. wrong: sizes at which none is, as rows of
    the cell that comes nearest. literal: full passes of a model that was not made for them, from small to large.
    """

    sequential: dict[str, Row] = field(default_factory=dict)
    parallel: dict[str, dict[str, Row]] = field(default_factory=dict)
    fastest: list[Row] = field(default_factory=list)
    wrong: list[Row] = field(default_factory=list)
    literal: list[Row] = field(default_factory=list)

    def constant(self, quantity: str) -> list[str]:
        """Parallel arms in which `quantity` does not grow over all sizes measured."""
        return [arm for arm, fits in self.parallel.items() if fits[quantity]["constant_throughout"]]


def tables(grid: list[Row], growth: list[Row]) -> Tables:
    """Sort the rows of the Mega-Grid by what the report says of them."""
    found = Tables()
    references = {row["arm"] for row in grid if row["role"] == "reference"}
    for row in growth:
        if row["arm"] in references and row["series"] is None:
            found.sequential[row["quantity"]] = row
        elif row["decoder"] not in SEQUENTIAL and (row["series"] or "").startswith("fewest"):
            found.parallel.setdefault(row["arm"], {})[row["quantity"]] = row
    done = [row for row in grid if row["status"] == "ok" and row["batch"] == 1 and is_parallel(row)]
    for size in sorted({row["new_tokens"] for row in done}):
        here = [row for row in done if row["new_tokens"] == size]
        right = [row for row in here if row["right"] and row["ratio"] is not None]
        near = [row for row in here if row["cells_right"] is not None]
        if right:
            found.fastest.append(max(right, key=lambda row: row["ratio"]))
        elif near:
            found.wrong.append(max(near, key=lambda row: row["cells_right"]))
    full = [row for row in done if row["decoder"] == "full_passes" and row["ratio"] is not None]
    found.literal = sorted(full, key=lambda row: row["new_tokens"])
    return found


def by_verdict(rows: list[Row]) -> list[tuple[str, list[Row]]]:
    """Rows under each verdict, in the order faster, no difference, slower; empty ones left out."""
    return [(name, here) for name in VERDICTS if (here := [row for row in rows if row["verdict"] == name])]


def memory_pair(rows: list[Row]) -> tuple[Row, Row] | None:
    """The sequential and the parallel cell of the largest shape (tokens × batch) at which both finished."""
    done = [row for row in rows if row["status"] == "ok" and row["peak_allocated_mb"] is not None]
    shapes = _by(done, lambda row: (row["task"], row["batch"], row["prompt_tokens"], row["new_tokens"]))
    both = [(_first(group, False), _first(group, True)) for group in shapes.values()]
    pairs = [(a, b) for a, b in both if a is not None and b is not None]
    return max(pairs, key=lambda pair: pair[0]["batch"] * pair[0]["new_tokens"], default=None)


def _first(rows: list[Row], parallel: bool) -> Row | None:
    return next((row for row in rows if is_parallel(row) == parallel), None)


def exponents(scaling: list[Row], quantity: str, against: str) -> list[Row]:
    """One exponent an arm of how `quantity` grows, at the smallest batch where batch does not vary."""
    rows = [row for row in scaling if row["quantity"] == quantity and row["against"] == against]
    if against != "batch" and rows:
        least = min(row["batch"] for row in rows if row["batch"] is not None)
        rows = [row for row in rows if row["batch"] == least]
    return sorted(rows, key=lambda row: (is_parallel(row), str(row["task"])))


def troubled(cells: list[Row]) -> tuple[list[Row], list[Row]]:
    """Cells that did not finish, and cells that finished with a flag on a sample."""
    failed = [row for row in cells if row["status"] != "ok"]
    flagged = [row for row in cells if row["status"] == "ok" and row["flags"]]
    return failed, flagged


def _by(rows: list[Row], name: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    groups: dict[Any, list[Row]] = {}
    for row in rows:
        groups.setdefault(name(row), []).append(row)
    return groups
