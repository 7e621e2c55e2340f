"""Published tables as data frames, and how a row says what it is.

A figure or a report table asks here for a measurement with its interval, the name of a row's arm, and the id
of the
value behind a mark. Nothing else in the report knows how columns are named.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")

UNITS = {
    "_tokens_per_s": "tokens/s",
    "_gflop_per_s": "GFLOP/s",
    "_per_s": "1/s",
    "_ms": "ms",
    "_mb": "MB",
    "_s": "s",
}
ARMS = {
    "autoregressive": "autoregressive",
    "transformers_generate": "transformers generate()",
    "transformers_continuous": "continuous batching",
    "vllm": "vLLM",
    "masked_diffusion": "masked diffusion",
    "jacobi": "Jacobi",
    "full_passes": "full passes, timing only",
    "flash_flood": "Flash Flood",
    "table_lookup": "table lookup",
}
SEQUENTIAL = ("autoregressive", "transformers_generate", "transformers_continuous", "vllm")
LOWER_IS_BETTER = ("nll", "nats", "bound", "perplexity", "loss")


@dataclass(frozen=True)
class Measure:
    """A number with its interval; NaN where there is none."""

    value: float
    low: float = math.nan
    high: float = math.nan

    def __bool__(self) -> bool:
        return math.isfinite(self.value)

    @property
    def spread(self) -> tuple[float, float]:
        """Lengths of the error bar below and above; zero where the interval is unknown."""
        down = self.value - self.low if math.isfinite(self.low) else 0.0
        up = self.high - self.value if math.isfinite(self.high) else 0.0
        return max(down, 0.0), max(up, 0.0)


def load_tables(paths: list[str | Path]) -> dict[str, DataFrame]:
    """Read tables by file stem; a folder stands for all its CSV files.

    Raises:
        UserError: a path is missing or no table.
    """
    tables = {}
    for path in table_files(paths):
        try:
            tables[path.stem] = pandas.read_csv(path, keep_default_na=False, na_values=[""])
        except FileNotFoundError:
            raise UserError(path, "does not exist", "run `make all` to produce it") from None
        except (ValueError, UnicodeDecodeError) as error:
            raise UserError(path, f"is not a table ({error})", "delete it and run `make all` again") from None
    return tables


def table_files(paths: list[str | Path]) -> list[Path]:
    """The CSV files that `paths` stand for.

    Raises:
        UserError: a path is neither a folder nor a table.
    """
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files += sorted(path.glob("*.csv"))
        elif path.suffix == ".csv":
            files.append(path)
        elif path.suffix != ".parquet":
            raise UserError(
                path, "is neither a folder nor a .csv table", "name results/tables or its .csv files"
            )
    return files


def need(tables: dict[str, DataFrame], name: str) -> DataFrame:
    """Table `name`.

    Raises:
        UserError: it was not given.
    """
    if name not in tables:
        raise UserError(f"table {name!r}", "was not given", f"pass results/tables/{name}.csv with --tables")
    return tables[name]


def number(row: Any, column: str) -> float:
    """A cell as a float, NaN where it is empty or absent."""
    value = row.get(column)
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def stem(column: str) -> str:
    """`latency_ms` -> `latency`: a column without its unit."""
    for unit in UNITS:
        if column.endswith(unit):
            return column[: -len(unit)]
    return column


def unit_of(column: str) -> str:
    """The unit in a column's name; empty where it names none."""
    if column == "tokens_per_s":
        return "tokens/s"
    return next((words for end, words in UNITS.items() if column.endswith(end)), "")


def measure(row: Any, column: str) -> Measure:
    """`column` of `row` with the interval that stands beside it, named with or without the unit."""
    for base in (column, stem(column)):
        if f"{base}_low" in row:
            return Measure(number(row, column), number(row, f"{base}_low"), number(row, f"{base}_high"))
    return Measure(number(row, column))


def is_bound(column: str) -> bool:
    """Whether a column is one end of another column's interval."""
    return column.endswith(("_low", "_high"))


def value_id(table: str, row: Any, column: str) -> str | None:
    """The id under which this cell of a table is published; None for a row without a key."""
    key = row.get("key")
    return f"{table}/{key}/{column}" if isinstance(key, str) and key else None


def text(row: Any, column: str) -> str:
    """A cell as text, empty where it is missing; whole numbers lose their `.0`."""
    value = row.get(column)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def arm(row: Any) -> str:
    """The name a reader sees for what decoded."""
    return ARMS.get(text(row, "decoder"), text(row, "decoder").replace("_", " "))


def is_parallel(row: Any) -> bool:
    """Whether the row's decoder commits several tokens a pass."""
    return text(row, "decoder") not in SEQUENTIAL


def lower_is_better(metric: str) -> bool:
    return any(part in metric.lower() for part in LOWER_IS_BETTER)


def ok(row: Any) -> bool:
    return text(row, "status") in ("", "ok")


def gate_failed(row: Any) -> bool:
    """Whether this speed stands beside a quality that was judged not good enough."""
    return text(row, "gate").lower() in ("false", "failed", "fail", "0")


def ordered(values: Any, first: tuple[str, ...] = ()) -> list[str]:
    """Distinct values in order of appearance, those named in `first` before the rest."""
    seen = list(dict.fromkeys(str(value) for value in values if value == value and value is not None))
    return [v for v in first if v in seen] + [v for v in seen if v not in first]


Variant = tuple[str, str]
"""A decoder and the study's name for its settings."""


def variant_of(row: Any) -> Variant:
    """Which decoder with which fixed settings; steps and shape are what varies within a variant."""
    return text(row, "decoder"), text(row, "arm")


def variants(rows: list[Any]) -> dict[Variant, tuple[str, int]]:
    """Each variant's words and its number within its decoder, sequential ones first.

    The reference, else the one with the shortest name, is a decoder's first variant and bears the decoder's
    plain name;
    the others add the study's name for them.
    """
    seen = dict.fromkeys(variant_of(row) for row in rows)
    parallel = {variant_of(row): is_parallel(row) for row in rows}
    references = {variant_of(row) for row in rows if text(row, "role") == "reference"}
    order = sorted(
        seen, key=lambda v: (v[0] != "autoregressive", parallel[v], v not in references, len(v[1]), v[1])
    )
    found: dict[Variant, tuple[str, int]] = {}
    for decoder, name in order:
        number = sum(1 for other, _ in found if other == decoder)
        plain = ARMS.get(decoder, decoder.replace("_", " "))
        found[decoder, name] = (plain if not number else f"{plain}, {name}", number)
    return found
