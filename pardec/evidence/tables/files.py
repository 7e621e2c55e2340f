"""Tables on disk: the same frame as CSV for eyes and as Parquet for programs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from pardec.common.errors import UserError
from pardec.common.files import atomic
from pardec.common.lazy import lazy
from pardec.evidence.tables.base import DTYPES, Table

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")


def write_table(frame: DataFrame, csv: str | Path, parquet: str | Path) -> None:
    """Write both copies; floats in CSV are written so that they read back equal."""
    with atomic(csv) as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    with atomic(parquet, ".parquet") as path:
        frame.to_parquet(path, index=False)


def read_table(table: Table, path: str | Path) -> DataFrame:
    """Read a written copy of `table` with its types.

    Raises:
        UserError: missing, damaged, or not this table; names the file.
    """
    mend = f"delete it and run `snakemake --cores 1 results/tables/{table.name}.csv` again"
    try:
        if Path(path).suffix == ".parquet":
            frame = pandas.read_parquet(path)
        else:
            frame = pandas.read_csv(
                path,
                dtype={name: DTYPES[column.dtype] for name, column in table.all_columns.items()},
                keep_default_na=False,
                na_values=[""],
                float_precision="round_trip",
            )
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to produce it") from None
    except (ValueError, OSError) as error:
        raise UserError(path, f"is not a readable table ({error})", mend) from None
    if list(frame.columns) != list(table.all_columns):
        raise UserError(path, f"does not have the columns of table {table.name!r}", mend)
    return frame
