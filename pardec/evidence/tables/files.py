"""Write and read tables on disk, each as CSV (to look at) and Parquet (for programs)."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pardec.common.errors import UserError
from pardec.common.files import atomic
from pardec.common.lazy import lazy

if TYPE_CHECKING:
    from pandas import DataFrame

pandas = lazy("pandas")


def write_table(frame: DataFrame, csv: str | Path, parquet: str | Path) -> None:
    """Write both copies; floats in CSV read back exactly."""
    with atomic(csv) as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    with atomic(parquet, ".parquet") as path:
        frame.to_parquet(path, index=False)


def read_table(name: str, dtypes: dict[str, str], path: str | Path) -> DataFrame:
    """Returns the frame of a written copy of table `name`, with pandas types `dtypes`.

    Raises:
        UserError: the file is missing, damaged, or not this table.
    """
    mend = f"delete it and run `snakemake --cores 1 results/tables/{name}.csv` again"
    try:
        if Path(path).suffix == ".parquet":
            frame = pandas.read_parquet(path)
        else:
            frame = pandas.read_csv(
                path,
                dtype=dtypes,
                keep_default_na=False,
                na_values=[""],
                float_precision="round_trip",
            )
    except FileNotFoundError:
        raise UserError(path, "does not exist", "run `make all` to produce it") from None
    except (ValueError, OSError) as error:
        raise UserError(path, f"is not a readable table ({error})", mend) from None
    if list(frame.columns) != list(dtypes):
        raise UserError(path, f"does not have the columns of table {name!r}", mend)
    return frame


def rows_of(frame: DataFrame) -> list[dict[str, Any]]:
    """Returns a table's rows as dictionaries, null as None."""
    columns = []
    for _, column in frame.items():
        objects = column.to_numpy(dtype=object, copy=True)
        objects[column.isna().to_numpy()] = None
        columns.append(objects.tolist())
    names = list(frame.columns)
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
