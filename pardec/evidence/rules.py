"""How a claim is judged: which rows of which table it speaks of, what they must show, and how parts add up.

Six shapes of statement judge all claims: a number against a bound or within a range (`ratio > 40`,
`0.75 <= fit.exponent <= 1.25`), an order (`1 > sparse.ratio > dense.ratio`), a count (`nfe == new_tokens`), a verdict
of a table (`row.speed_status == 'validated'`), each of them over rows (`every(rows, nfe == 2)`), and a tally over parts
(tasks, arms, sizes). A claim without a statement is told and not judged.
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
"""What `from` says before the first part of the ids of published values."""
VALUE_COLUMNS = ("id", "value", "name")
"""Columns of published values: name is what follows the first part of the id."""
PART = "part"
"""The rows of the part at hand."""
Data = dict[str, list[dict[str, Any]]]


class Requirement(Settings):
    """What a row must have for its claim to be judged."""

    that: str
    """A statement; a row of which it is false or open is not judged."""
    reason: str
    """Why the claim is not testable here if no row is left."""


class Selection(Settings):
    """Rows of a table."""

    source: str = Field(alias="from")
    """A table, another selection, or `values` and the first part of the ids of published values."""
    where: str = ""
    """A statement that must hold of a row."""
    require: list[Requirement] = []
    """What is asked of those rows in turn."""
    match: list[str] = []
    """Columns in which a row equals the part's first row."""
    order: list[str] = []
    """Columns to sort by."""
    pick: str | list[str] = []
    """One row: first, last, most COLUMN, least COLUMN, nearest COLUMN NUMBER; of a list the next decides ties."""
    each: list[str] = []
    """Pick one row for each value of these columns."""
    optional: bool = False
    """Whether the claim is judged without such a row too."""

    @property
    def picks(self) -> list[list[str]]:
        return [step.split() for step in ([self.pick] if isinstance(self.pick, str) else self.pick)]


class Parts(Settings):
    """A claim held against each of several parts: tasks, arms, sizes, series."""

    source: str = Field(alias="from")
    """The selection that is divided."""
    by: list[str] = []
    """What is the same within a part: columns, or expressions; nothing makes one part of all."""
    keep: str = ""
    """A statement about the part's rows (`part`) that must hold for it to be a part."""
    longest: str = ""
    """A column: of all parts that share it only the one with most rows stays."""
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
    """A template of the few numbers behind its name in a list."""


class Reasons(Settings):
    """Words, each begun by a class (precision, quality, sizes, hardware, weights, engine, study) and a colon."""

    open: str = "precision: the intervals allow both"
    """Why it is not testable where the measurements leave it open."""
    missing: str = ""
    """Why it is not testable where there are no rows to judge; empty: then it was not run."""
    decided: str = ""
    """Which half of the claim the verdict leaves out."""
    unrun: str = ""
    """Why it was not run, where `waits` does not say it."""


class Claim(Settings):
    """One claim."""

    id: str = Field(pattern=r"^[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+$")
    """Group and number, as 004.1."""
    statement: str
    """What is claimed, or asked."""
    expected: str
    """What must be seen for it to hold here."""
    free: str = ""
    """The part that depends on neither machine nor size."""
    waits: str = ""
    """What a study lacks that does not judge it."""
    rows: dict[str, Selection] = {}
    """Selections by name; a later one may use an earlier one."""
    parts: list[Parts] = []
    """What it is held against, part by part."""
    tally: Literal["", "every", "some", "first"] = ""
    """every: a part that contradicts it decides, else one that reproduces it. some: one that reproduces it decides; it
    is contradicted where all parts are. first: one that reproduces it decides, else one that contradicts it."""
    holds: str = ""
    """The statement, where it is no tally. It may use `parts_every` and `parts_some`."""
    fails: str = ""
    """What contradicts it; where empty, that it is shown to be otherwise."""
    unrun: str = ""
    """A statement: where it holds, the claim was not run, for `reasons.unrun`."""
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
    """Where claims come from, by the first part of their ids."""
    rows: dict[str, Selection] = {}
    """Selections that several claims share."""
    claims: list[Claim] = Field(min_length=1)
    """The claims."""


@dataclass
class Chosen:
    """Selections made for one claim. lacking: reasons of the required selections that are empty; "" where the rows were
    never there."""

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
        """The selections in order, each of which may use those before it and what is in `scope`."""
        result = Chosen(dict(scope))
        for label, selection in selections.items():
            rows, reasons = self._select(selection, result.rows, part)
            result.rows[label] = rows
            if not rows and not selection.optional:
                result.lacking += reasons or [""]
        return result

    def tables_of(self, selection: Selection, among: Mapping[str, Selection]) -> set[str]:
        """The tables that a selection rests on."""
        source = selection.source
        if source in among and among[source] is not selection:
            return self.tables_of(among[source], among)
        if source in self.shared:
            return self.tables_of(self.shared[source], {})
        return set() if source == PART or source.startswith(VALUES) else {source}

    def source(self, label: str, rows: Mapping[str, Any] | None = None) -> Rows:
        """A selection, a shared one, published values, or a table, by the name that `from` gives."""
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
        """Its rows, and where a requirement left none, that requirement's reason."""
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
    """By column of a table the columns with the ends of its interval."""
    columns = TABLES.load(table).all_columns
    return {name: (column.low, column.high) for name, column in columns.items() if column.low and column.high}


def sort(rows: list[Row], columns: list[str]) -> list[Row]:
    """Rows by these columns, what is unknown last."""
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
    """The rows of each part, in order of appearance or as `sort` says."""
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
    """Refuses names that a statement cannot have. Light: reads descriptions of tables only."""

    def __init__(self, shared: Mapping[str, Selection]):
        self.shared = shared

    def selection(
        self, selection: Selection, among: Mapping[str, Selection], part: set[str] | None = None
    ) -> str:
        """What is wrong with a selection; empty where nothing is."""
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
        """What is wrong with an expression; empty where nothing is. columns: of the row at hand."""
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
