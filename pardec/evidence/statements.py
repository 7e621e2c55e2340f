"""Evaluate statements about rows of tables: shown (True), refuted (False), or open (None).

A statement is an expression such as `0.75 <= fit.exponent <= 1.25`. A number with an interval is below another if their
intervals do not overlap; if they do, the comparison is open. `and`, `or` and `not` follow Kleene's logic
(Introduction to Metamathematics, 1952, section 64); arithmetic is interval arithmetic (Moore 1966).
"""

from __future__ import annotations

import ast
import contextlib
import json
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from pardec.common.lazy import lazy
from pardec.evidence.sentences import Number, Text
from pardec.evidence.tables.registry import value_id

statistics = lazy("pardec.evidence.statistics")

Truth = bool | None


class StatementError(ValueError):
    """A mistake in a statement, in words. keys: its place in its file, filled in by `at`."""

    keys: tuple[str, ...] = ()


@contextlib.contextmanager
def at(*keys: str) -> Iterator[None]:
    """Prepend `keys` to the place of a mistake inside the block."""
    try:
        yield
    except StatementError as error:
        error.keys = (*keys, *error.keys)
        raise


def exact(value: float | None) -> Number:
    """Return a number whose interval is the number itself."""
    return Number(value, value, value)


class Row(Mapping):
    """A row whose columns are numbers with their intervals, texts and flags; also read as attributes.

    data: the row as its table has it. table: name of the table, from which ids of values are made. intervals: by
    column the names of the columns with the ends of its interval. chosen: for a row picked as the largest or smallest
    of several, (column, number of rows): that column's interval is adjusted for the choice.
    """

    def __init__(
        self,
        table: str,
        data: Mapping[str, Any],
        intervals: Mapping[str, tuple[str, str]],
        chosen: tuple[str, int] | None = None,
    ):
        self.table, self.data, self.intervals, self.chosen = table, data, intervals, chosen

    def __getitem__(self, column: str) -> Any:
        if column == "chosen_from" and self.chosen:
            return Text(self.chosen[1])
        if column not in self.data:
            raise StatementError(f"names {column!r}, which is no column of it")
        value = self.data[column]
        ident = value_id(self.table, self.data, column) if self.table else self.data.get("id", "")
        if column in self.intervals:
            low, high = (self.data[end] for end in self.intervals[column])
            if self.chosen and column == self.chosen[0] and None not in (value, low, high):
                adjusted = statistics.among(statistics.Estimate(value, low, high, 0), self.chosen[1])
                low, high = adjusted.low, adjusted.high
            return Number(value, low, high, ident)
        if isinstance(value, str):
            return Text(value)
        if isinstance(value, bool) or value is None:
            return value
        return Number(value, value, value, ident)

    def __getattr__(self, column: str) -> Any:
        try:
            return self[column]
        except StatementError:
            raise AttributeError(column) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self.data)

    def __len__(self) -> int:
        return len(self.data)


class Rows(list):
    """Rows of one selection; a column of it is that of its first row, None without rows. table: where they come from,
    and whether it has rows at all."""

    def __init__(self, rows: Iterable[Row] = (), table: tuple[str, bool] = ("", True)):
        super().__init__(rows)
        self.table = table

    def __getitem__(self, at: Any) -> Any:
        return super().__getitem__(at) if not isinstance(at, str) else self[0][at] if self else None

    def __getattr__(self, column: str) -> Any:
        if column.startswith("__"):
            raise AttributeError(column)
        return getattr(self[0], column) if self else None


@cache
def parse(text: str) -> ast.expr:
    """Return the syntax tree of a statement.

    Raises:
        StatementError: `text` is no expression, or uses what statements do not have.
    """
    try:
        tree = ast.parse(" ".join(text.split()), mode="eval").body
    except SyntaxError as error:
        raise StatementError(f"is no statement ({error.msg})") from None
    for node in ast.walk(tree):
        if not isinstance(node, ALLOWED):
            raise StatementError(f"uses {type(node).__name__.lower()}, which statements do not have")
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else "?"
            if name not in FUNCTIONS and name not in OVER_ROWS:
                known = ", ".join(sorted([*FUNCTIONS, *OVER_ROWS]))
                raise StatementError(f"calls {name}(), which is unknown; known: {known}")
    return tree


class Reader:
    """Evaluates expressions over selections, and records in `used` the ids of all numbers read.

    scope: selections and other names. A bare name outside of it is a column of the current row.
    """

    def __init__(self, scope: Mapping[str, Any]):
        self.scope = scope
        self.used: dict[str, Any] = {}

    def evaluate(self, text: str, row: Row | None = None) -> Any:
        """Return the value of a statement.

        Raises:
            StatementError: a name in it is neither in scope nor a column.
        """
        return self._value(parse(text), row)

    def truth(self, text: str, row: Row | None = None) -> Truth:
        """Return whether the statement `text` is true of `row`; None where it cannot be decided."""
        return truth(self.evaluate(text, row))

    def _value(self, node: ast.expr, row: Row | None) -> Any:
        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._note(self._named(node.id, row))
            case ast.Attribute():
                return self._note(self._column(node, row))
            case ast.BoolOp():
                sides = [self._value(side, row) for side in node.values]
                return some(sides) if isinstance(node.op, ast.Or) else every(sides)
            case ast.UnaryOp(op=ast.Not()):
                known = truth(self._value(node.operand, row))
                return None if known is None else not known
            case ast.UnaryOp():
                return arithmetic(ast.Sub, exact(0), number(self._value(node.operand, row)))
            case ast.BinOp():
                left, right = (number(self._value(side, row)) for side in (node.left, node.right))
                return arithmetic(type(node.op), left, right)
            case ast.Compare():
                sides = [self._value(side, row) for side in (node.left, *node.comparators)]
                pairs = zip(node.ops, sides, sides[1:], strict=False)
                return every([compare(type(op), left, right) for op, left, right in pairs])
            case ast.Call():
                return self._call(node, row)
            case ast.List() | ast.Tuple():
                return [self._value(item, row) for item in node.elts]

    def _named(self, name: str, row: Row | None) -> Any:
        if name in self.scope:
            return self.scope[name]
        if name in CONSTANTS:
            return CONSTANTS[name]
        if row is None or name not in row:
            raise StatementError(f"reads {name!r}, which is neither a selection nor a column")
        return row[name]

    def _column(self, node: ast.Attribute, row: Row | None) -> Any:
        owner = self._value(node.value, row)
        name = ast.unparse(node.value)
        if not isinstance(owner, Row | Rows):
            raise StatementError(f"reads {name}.{node.attr}, but no selection is called {name!r}")
        try:
            return owner[node.attr]
        except StatementError:
            raise StatementError(f"reads {name}.{node.attr}, but {name!r} has no such column") from None

    def _note(self, value: Any) -> Any:
        if isinstance(value, Number) and value.ident:
            self.used[value.ident] = None
        return value

    def _call(self, node: ast.Call, row: Row | None) -> Any:
        name = node.func.id  # type: ignore[attr-defined]
        if name not in OVER_ROWS:
            return FUNCTIONS[name](*(self._value(arg, row) for arg in node.args))
        rows, *rest = node.args
        lines = self._value(rows, row)
        if not isinstance(lines, list):
            raise StatementError(f"calls {name}() of what is no selection")
        return OVER_ROWS[name]([self._value(rest[0], line) if rest else line for line in lines])


def number(value: Any) -> Number:
    """Return an expression's result as a number; an unknown number for other types."""
    return value if isinstance(value, Number) else exact(value if isinstance(value, int | float) else None)


def truth(value: Any) -> Truth:
    """Return `value` if it is true or false; None for anything else, which decides nothing."""
    return value if isinstance(value, bool) else None


def compare(op: type[ast.cmpop], left: Any, right: Any) -> Truth:
    """Return the comparison of two numbers by their intervals, or of two names; open if either is unknown."""
    if op in OPPOSITE:
        outcome = compare(OPPOSITE[op], left, right)
        return None if outcome is None else not outcome
    if op is ast.Is:
        return _known(left) is _known(right)
    if op is ast.In:
        return some(compare(ast.Eq, left, item) for item in right)
    if op in FLIPPED:
        return compare(FLIPPED[op], right, left)
    if isinstance(left, str | bool) or isinstance(right, str | bool):
        return None if None in (_known(left), _known(right)) else left == right
    a, b = number(left), number(right)
    if a.open or b.open:
        return None
    if op is ast.Eq:
        return (
            True
            if a.low == a.high == b.low == b.high
            else False
            if a.high < b.low or b.high < a.low
            else None
        )
    if op is ast.Lt:
        return True if a.high < b.low else False if a.low >= b.high else None
    return True if a.high <= b.low else False if a.low > b.high else None


def _known(value: Any) -> Any:
    return value.value if isinstance(value, Number) else value


def arithmetic(op: type[ast.operator], a: Number, b: Number) -> Number:
    """Return the result of interval arithmetic; unknown if either side is, or if a divisor may be zero."""
    combine: Callable[[float, float], float] = OPERATORS[op]
    if a.value is None or b.value is None or (op is ast.Div and b.value == 0):
        return exact(None)
    value = combine(a.value, b.value)
    if a.open or b.open or (op is ast.Div and b.low <= 0 <= b.high):
        return Number(value, None, None)
    corners = [combine(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    return Number(value, min(corners), max(corners))


def every(outcomes: Iterable[Any]) -> Truth:
    """Return False if any outcome is false, else None if any is undecided, else True."""
    known = [truth(outcome) for outcome in outcomes]
    return False if False in known else None if None in known else True


def some(outcomes: Iterable[Any]) -> Truth:
    """Return True if any outcome is true, else None if any is undecided, else False."""
    known = [truth(outcome) for outcome in outcomes]
    return True if True in known else None if None in known else False


def _total(values: list[Any]) -> Number:
    result = exact(0)
    for value in values:
        result = arithmetic(ast.Add, result, number(value))
    return result


def _without(settings: str | None, *varying: str) -> str:
    """Return a decoder's settings without those that vary, in a canonical form."""
    kept = {key: value for key, value in json.loads(settings or "{}").items() if key not in varying}
    return json.dumps(kept, sort_keys=True)


def _series(cell: str | None, against: str) -> str | None:
    """Return a cell's series in table `growth`."""
    from pardec.evidence.tables.growth import series_name

    return series_name(cell, against) if cell else None


def _of_known(choose: Callable[[list[float]], float], values: tuple[Any, ...]) -> Number:
    known = [_known(value) for value in values]
    return exact(None if None in known else choose(known))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "known": lambda value: _known(value) is not None,
    "point": lambda value: exact(_known(value)),
    "abs": lambda value: exact(None if _known(value) is None else abs(_known(value))),
    "without": _without,
    "series": _series,
    "max": lambda *values: _of_known(max, values),
    "min": lambda *values: _of_known(min, values),
    "begins": lambda text, start: None if text is None else str(text).startswith(start),
}
"""Functions in statements: known(x), point(x) and abs(x) without the interval, without(settings, name) and
series(cell, axis) as names, max(x, y), min(x, y), begins(name, start)."""
OVER_ROWS: dict[str, Callable[[list[Any]], Any]] = {
    "every": every,
    "some": some,
    "count": lambda lines: exact(len(lines)),
    "sizes": lambda values: exact(len({_known(value) for value in values})),
    "total": _total,
}
"""every(rows, statement), some(rows, statement), count(rows), sizes(rows, column) different values, total(rows, x)."""
CONSTANTS = {"null": None, "true": True, "false": False}
OPERATORS = {ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.truediv}
FLIPPED = {ast.Gt: ast.Lt, ast.GtE: ast.LtE}
OPPOSITE = {ast.NotEq: ast.Eq, ast.NotIn: ast.In, ast.IsNot: ast.Is}
ALLOWED = (
    ast.Constant, ast.Name, ast.Attribute, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.BinOp,
    *OPERATORS, ast.Compare, ast.Lt, ast.LtE, ast.Eq, ast.Is, ast.In, *FLIPPED, *OPPOSITE, ast.Call, ast.List,
    ast.Tuple, ast.Load,
)  # fmt: skip
