"""Describe and build tables. Importing a table's description does not import pandas."""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from pardec.common.lazy import lazy
from pardec.evidence.columns import KEY, Column

if TYPE_CHECKING:
    import pandera.pandas as pa
    from pandas import DataFrame, Series

np = lazy("numpy")
pandas = lazy("pandas")

Row = dict[str, Any]
DTYPES = {"string": "string", "integer": "Int64", "number": "Float64", "boolean": "boolean"}


@dataclass(frozen=True)
class Table:
    """A table's description and its builder.

    needs: inputs of `build`: names of other tables, and of `registry.FILES`. key: the columns that name a row. build:
    inputs -> rows as dictionaries; a missing column is null. published: whether its numbers become values (raw samples
    do not). view_of: the table whose rows and columns it shows, under the same keys. borrowed: columns that copy an
    entry of `cells`, as (column with the cell's id, column of `cells`). Numbers that a table shows or borrows keep the
    ids that they have there.
    """

    name: str
    description: str
    needs: tuple[str, ...]
    key: tuple[str, ...]
    columns: dict[str, Column]
    build: Callable[[Any], list[Row]]
    published: bool = True
    view_of: str = ""
    borrowed: dict[str, tuple[str, str]] = field(default_factory=dict)

    @cached_property
    def all_columns(self) -> dict[str, Column]:
        """Return its columns by name, the key first."""
        return {"key": KEY, **self.columns}

    @property
    def dtypes(self) -> dict[str, str]:
        """Return the pandas type of every column."""
        return {name: DTYPES[column.dtype] for name, column in self.all_columns.items()}

    def make(self, inputs: Any) -> DataFrame:
        """Build the rows, name them, and check them against the schema.

        Raises:
            pandera.errors.SchemaErrors: a row violates the table's schema, which is a bug.
        """
        rows = [{"key": self._name(row), **row} for row in self.build(inputs)]
        unknown = {name for row in rows for name in row} - set(self.all_columns)
        if unknown:
            raise KeyError(f"table {self.name}: no such column: {', '.join(sorted(unknown))}")
        frame = {
            name: pandas.array([_plain(row.get(name)) for row in rows], dtype=dtype)
            for name, dtype in self.dtypes.items()
        }
        made = pandas.DataFrame(frame)
        return made if self._is_sound(made) else self.schema().validate(made, lazy=True)

    def _is_sound(self, frame: DataFrame) -> bool:
        """Return whether `frame`, whose columns have their types, obeys the schema: in a fraction of the time in which
        pandera says what is wrong."""
        needed = [name for name, column in self.all_columns.items() if not column.nullable]
        full = not any(frame[name].isna().any() for name in needed)
        return bool(
            full and frame["key"].is_unique and self._finite(frame).all() and self._ordered(frame).all()
        )

    def schema(self) -> pa.DataFrameSchema:
        """Return pandera's schema of the table: types, unique keys, finite numbers, intervals around their values."""
        import pandera.pandas as pa

        columns = {
            name: pa.Column(DTYPES[column.dtype], nullable=column.nullable, unique=name == "key")
            for name, column in self.all_columns.items()
        }
        # One check for all columns, since the overhead of a call exceeds the cost of its work.
        checks = [pa.Check(self._finite, name="finite"), pa.Check(self._ordered, name="low <= value <= high")]
        return pa.DataFrameSchema(columns, checks=checks, strict=True, ordered=True, name=self.name)

    def _finite(self, frame: DataFrame) -> Series:
        """Return by row whether all of its numbers are finite or missing."""
        good = np.ones(len(frame), dtype=bool)
        for name in (name for name, column in self.columns.items() if column.numeric):
            good &= ~np.isinf(_floats(frame[name]))
        return pandas.Series(good, frame.index)

    def _ordered(self, frame: DataFrame) -> Series:
        """Return by row whether all of its intervals contain their value; a missing end or value passes."""
        good = np.ones(len(frame), dtype=bool)
        for name, column in self.columns.items():
            if column.low and column.high:
                low, value, high = (_floats(frame[part]) for part in (column.low, name, column.high))
                slack = 1e-9 * abs(value)
                good &= ~((low > value + slack) | (value > high + slack))
        return pandas.Series(good, frame.index)

    def _name(self, row: Row) -> str:
        parts = [slug(str(row[column])) for column in self.key if row.get(column) is not None]
        name = "/".join(part for part in parts if part)
        return name if self.view_of else name.removeprefix(f"{self.name}/")


def grouped(rows: Iterable[Row], *columns: str) -> dict[tuple, list[Row]]:
    """Return rows by their entries in `columns`, in order of appearance."""
    groups: dict[tuple, list[Row]] = defaultdict(list)
    for row in rows:
        groups[tuple(row[column] for column in columns)].append(row)
    return dict(groups)


def slug(text: str) -> str:
    """Return a readable id: lower case letters, digits and `. _ ~ + / -` only."""
    return re.sub(r"[^a-z0-9._~+/-]+", "-", text.lower()).strip("-/")


def _plain(value: Any) -> Any:
    """Return `value`, or null for entries that CSV cannot distinguish from null: empty text, or no finite number."""
    nothing = value == "" if isinstance(value, str) else isinstance(value, float) and not math.isfinite(value)
    return None if nothing else value


def _floats(series: Any) -> Any:
    return series.to_numpy(dtype=float, na_value=math.nan)
