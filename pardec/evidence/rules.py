"""Rules that judge a claim: rows of a table, statements about them, and how parts combine.

Six shapes of statement judge all claims: a number against a bound or within a range (`ratio > 40`,
`0.75 <= fit.exponent <= 1.25`), an order (`1 > sparse.ratio > dense.ratio`), a count (`nfe == new_tokens`), a verdict
of a table (`row.speed_status == 'validated'`), each of them over rows (`every(rows, nfe == 2)`), and a tally over parts
(tasks, arms, sizes). A claim without a statement is shown without a verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import Field

from pardec.common.settings import Settings
from pardec.evidence.statements import CONSTANTS, Number, Reader, Row, Rows, StatementError, names
from pardec.evidence.tables.registry import TABLES

VALUES = "values "
"""Prefix in `from`, before the first part of the ids of published values."""
VALUE_COLUMNS = ("id", "value", "name")
"""Columns of published values: name is what follows the first part of the id."""
PART = "part"
"""Name of the current part's rows."""
Data = dict[str, list[dict[str, Any]]]


class Requirement(Settings):
    """A requirement on a row for its claim to be judged."""

    that: str
    """A statement; rows for which it is false or open are not judged."""
    reason: str
    """Why the claim is not testable here if no row is left."""


class Selection(Settings):
    """Rows of a table."""

    source: str = Field(alias="from")
    """A table, another selection, or `values` and the first part of the ids of published values."""
    where: str = ""
    """A statement that must be true for a row."""
    require: list[Requirement] = []
    """Requirements on these rows, in turn."""
    match: list[str] = []
    """Columns in which a row equals the part's first row."""
    order: list[str] = []
    """Columns to sort by."""
    pick: str | list[str] = []
    """One row: first, last, most COLUMN, least COLUMN, nearest COLUMN NUMBER; in a list, the next one decides ties."""
    each: list[str] = []
    """Pick one row for each value of these columns."""
    optional: bool = False
    """Whether the claim is also judged without such a row."""

    @property
    def picks(self) -> list[list[str]]:
        return [step.split() for step in ([self.pick] if isinstance(self.pick, str) else self.pick)]


class Parts(Settings):
    """A claim judged on each of several parts: tasks, arms, sizes, series."""

    source: str = Field(alias="from")
    """The selection that is divided."""
    by: list[str] = []
    """Columns or expressions that are equal within a part; without any, all rows are one part."""
    keep: str = ""
    """A statement about the part's rows (`part`); parts for which it is not true are dropped."""
    longest: str = ""
    """A column: among parts with the same entry, only the one with most rows is kept."""
    pick: str = ""
    """The one part to keep, by its first row: most COLUMN or least COLUMN."""
    order: list[str] = []
    """Columns that sort a part's rows."""
    sort: list[str] = []
    """Columns that sort the parts."""
    rows: dict[str, Selection] = {}
    """Further selections, made for each part."""
    name: str
    """A template of the part's name."""
    holds: str = ""
    """The statement."""
    fails: str = ""
    """What contradicts it; where empty, that it is shown to be otherwise."""
    said: str
    """A template of the sentence on it."""
    short: str = ""
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
    holds: str = ""
    """The statement, if the claim is not a tally. It may use `parts_every` and `parts_some`."""
    fails: str = ""
    """What contradicts it; where empty, that it is shown to be otherwise."""
    unrun: str = ""
    """A statement: if true, the claim was not run, for `reasons.unrun`."""
    said: str = ""
    """A template of the measured sentence."""
    reasons: Reasons = Reasons()
    """Why it was not judged."""

    @property
    def group(self) -> str:
        return self.id.partition(".")[0]

    @property
    def judged(self) -> bool:
        return bool(self.holds or self.tally)


class Claims(Settings):
    """A file of claims."""

    groups: dict[str, str] = {}
    """Sources of claims, by the first part of their ids."""
    rows: dict[str, Selection] = {}
    """Selections that several claims share."""
    claims: list[Claim] = Field(min_length=1)
    """The claims."""


@dataclass
class Chosen:
    """Selections made for one claim. lacking: reasons of the required selections that are empty; "" if the table had
    no rows."""

    rows: dict[str, Rows] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)


class Chooser:
    """Makes selections from the tables of a run.

    tables: rows by table. values: published values.
    """

    def __init__(self, shared: Mapping[str, Selection], tables: Data, values: Mapping[str, dict[str, Any]]):
        self.shared, self.tables, self.values = shared, tables, values
        self._made: dict[str, Rows] = {}
        self._read: dict[str, Rows] = {}

    def chosen(
        self, selections: Mapping[str, Selection], scope: Mapping[str, Any], part: Rows | None = None
    ) -> Chosen:
        """Returns the selections in order; each may use those before it and the names in `scope`."""
        result = Chosen(dict(scope))
        for label, selection in selections.items():
            rows, reasons = self._select(selection, result.rows, part)
            result.rows[label] = rows
            if not rows and not selection.optional:
                result.lacking += reasons or [""]
        return result

    def tables_of(self, selection: Selection, among: Mapping[str, Selection]) -> set[str]:
        """Returns the tables that a selection uses."""
        source = selection.source
        if source in among and among[source] is not selection:
            return self.tables_of(among[source], among)
        if source in self.shared:
            return self.tables_of(self.shared[source], {})
        return set() if source == PART or source.startswith(VALUES) else {source}

    def source(self, label: str, rows: Mapping[str, Any] | None = None) -> Rows:
        """Returns a selection, a shared one, published values, or a table, by the name in `from`."""
        if rows is not None and label in rows:
            return rows[label]
        if label in self.shared:
            if label not in self._made:
                self._made[label], _ = self._select(self.shared[label], {}, None)
            return self._made[label]
        if label not in self._read:
            self._read[label] = self._values(label) if label.startswith(VALUES) else self._table(label)
        return self._read[label]

    def _table(self, label: str) -> Rows:
        ends = intervals(label)
        return Rows(Row(label, data, ends) for data in self.tables.get(label, ()))

    def _values(self, label: str) -> Rows:
        start = label.removeprefix(VALUES)
        lines = Rows()
        for ident, entry in self.values.items():
            if ident.startswith(start):
                ends = {"low": entry.get("ci_low"), "high": entry.get("ci_high")}
                data = {"id": ident, "name": ident.removeprefix(start), "value": entry["value"], **ends}
                lines.append(Row("", data, {"value": ("low", "high")}))
        return lines

    def _select(
        self, selection: Selection, scope: Mapping[str, Any], part: Rows | None
    ) -> tuple[Rows, list[str]]:
        """Returns the rows of a selection, and the reason of a requirement that left none."""
        reader = Reader(scope)
        rows = list(self.source(selection.source, scope))
        if selection.where:
            rows = [row for row in rows if reader.holds(selection.where, row)]
        if selection.match and part:
            rows = [row for row in rows if all(row.data[c] == part[0].data[c] for c in selection.match)]
        reasons = []
        for asked in selection.require:
            kept = [row for row in rows if reader.holds(asked.that, row)]
            if rows and not kept:
                reasons.append(asked.reason)
            rows = kept
        rows = sort(rows, selection.order)
        if selection.pick:
            groups: dict[tuple, list[Row]] = {}
            for row in rows:
                groups.setdefault(tuple(row.data[c] for c in selection.each), []).append(row)
            rows = [_picked(group, selection.picks) for group in groups.values()]
        return Rows(rows), reasons


def intervals(table: str) -> dict[str, tuple[str, str]]:
    """Returns by column of a table the columns with the ends of its interval."""
    columns = TABLES.load(table).all_columns
    return {name: (column.low, column.high) for name, column in columns.items() if column.low and column.high}


def sort(rows: list[Row], columns: list[str]) -> list[Row]:
    """Returns rows sorted by these columns, unknown entries last."""
    return sorted(rows, key=lambda row: [_sortable(row.data[column]) for column in columns])


def _sortable(value: Any) -> tuple:
    return (value is None, 0 if value is None else value)


def _picked(rows: list[Row], steps: list[list[str]]) -> Row:
    if steps == [["first"]] or steps == [["last"]]:
        return rows[0 if steps == [["first"]] else -1]
    return max(rows, key=lambda row: [_rank(row, *step) for step in steps])


def _rank(row: Row, way: str, column: str, to: str = "0") -> float:
    value = row.data[column]
    if value is None:
        return float("-inf")
    ranks: dict[str, Callable[[float], float]] = {
        "most": float, "least": lambda x: -x, "nearest": lambda x: -abs(x - float(to)),
    }  # fmt: skip
    return ranks[way](value)


def divided(rows: Rows, parts: Parts, scope: Mapping[str, Any]) -> list[Rows]:
    """Returns the rows of each part, in order of appearance or sorted by `sort`."""
    reader = Reader(scope)
    groups: dict[tuple, list[Row]] = {}
    for row in rows:
        key = tuple(_plain(reader.evaluate(one, row)) for one in parts.by)
        groups.setdefault(key, []).append(row)
    kept_groups = [Rows(sort(group, parts.order)) for group in groups.values()]
    if parts.keep:
        kept_groups = [
            group for group in kept_groups if Reader({**scope, PART: group}).holds(parts.keep, group[0])
        ]
    if parts.longest:
        best: dict[Any, Rows] = {}
        for group in kept_groups:
            name = group[0].data[parts.longest]
            if len(group) > len(best.get(name, ())):
                best[name] = group
        kept_groups = list(best.values())
    if parts.pick and kept_groups:
        kept_groups = [max(kept_groups, key=lambda group: _rank(group[0], *parts.pick.split()))]
    return sorted(kept_groups, key=lambda group: [_sortable(group[0].data[c]) for c in parts.sort])


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Number) else value


class Checker:
    """Checks the names in statements. It reads only descriptions of tables."""

    def __init__(self, shared: Mapping[str, Selection]):
        self.shared = shared

    def selection(
        self, selection: Selection, among: Mapping[str, Selection], part: set[str] | None = None
    ) -> str:
        """Returns what is wrong with a selection; empty if it is right."""
        try:
            columns = self.columns(selection.source, among, part)
        except StatementError as error:
            return str(error)
        picks = [[*step, "", ""][:3] for step in selection.picks]
        for way, column, _ in picks:
            if way not in ("first", "last", "most", "least", "nearest"):
                return f"picks by {way!r}, which is none of first, last, most, least, nearest"
            if column and column not in columns:
                return f"picks by {column!r}, which is no column of it"
        for column in (*selection.match, *selection.order, *selection.each):
            if column not in columns:
                return f"names {column!r}, which is no column of it"
        texts = [selection.where, *(asked.that for asked in selection.require)]
        return next((fault for text in texts if (fault := self.statement(text, among, columns, part))), "")

    def columns(self, source: str, among: Mapping[str, Selection], part: set[str] | None = None) -> set[str]:
        """Raises:
        StatementError: there is no such table or selection.
        """
        if source == PART and part is not None:
            return part
        for known in (among, self.shared):
            if source in known:
                return self.columns(
                    known[source].source, {k: v for k, v in known.items() if k != source}, part
                )
        if source.startswith(VALUES):
            return set(VALUE_COLUMNS)
        if source not in TABLES:
            raise StatementError(
                f"reads {source!r}, which is neither a selection nor one of: {', '.join(TABLES)}"
            )
        return set(TABLES.load(source).all_columns)

    def statement(
        self, text: str, among: Mapping[str, Selection], columns: set[str], part: set[str] | None = None
    ) -> str:
        """Returns what is wrong with an expression; empty if it is right. columns: those of the current row."""
        if not text:
            return ""
        try:
            for name, column, inside in names(text):
                selected = name == PART or name in among
                if column:
                    if not selected:
                        return f"reads {name}.{column}, but no selection is called {name!r}"
                    if column not in self.columns(name, among, part):
                        return f"reads {name}.{column}, but {name!r} has no such column"
                    continue
                inner_columns = columns.union(*(self.columns(one, among, part) for one in inside))
                if not (selected or name in inner_columns or name in CONSTANTS or name.startswith("parts_")):
                    return f"reads {name!r}, which is neither a selection nor a column"
        except StatementError as error:
            return str(error)
        return ""
