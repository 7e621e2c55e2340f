"""Rows of local files: JSONL, JSON, CSV, Parquet, plain text."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError

FORMATS = (".jsonl", ".json", ".csv", ".parquet", ".txt")


def read_rows(path: str | Path, lines: bool = False) -> list[dict[str, Any]]:
    """The rows of a file, by the ending of its name.

    A plain text (.txt, or .raw and .tokens as wikitext calls its files) gives one row {"text"} a paragraph,
    or one a line if `lines`.

    Raises:
        UserError: a missing, empty, binary, damaged or unknown file; names it and, if it can, the line.
    """
    path = Path(path)
    if not path.is_file():
        raise UserError(path, "does not exist", "check the path of the data set")
    if path.stat().st_size == 0:
        raise UserError(path, "is empty", "give a file that holds prompts")
    kind = ".txt" if path.suffix in (".raw", ".tokens") else path.suffix
    if kind not in FORMATS:
        raise UserError(path, f"has an unknown format {kind!r}", f"known: {', '.join(FORMATS)}")
    if kind == ".parquet":
        return _parquet(path)
    text = read_text(path)
    if kind == ".jsonl":
        return _jsonl(path, text)
    if kind == ".json":
        return _json(path, text)
    if kind == ".csv":
        return _csv(path, text)
    parts = text.split("\n") if lines else re.split(r"\n\s*\n", text)
    return [{"text": part if lines else part.strip()} for part in parts]


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, a byte-order mark dropped.

    Raises:
        UserError: a binary file, or invalid UTF-8 (with the offset of the first bad byte).
    """
    raw = path.read_bytes()
    if b"\0" in raw:
        raise UserError(path, "is a binary file", "give a text file, or a Parquet file that ends in .parquet")
    try:
        return raw.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            path, f"is not UTF-8 text (byte {error.start})", "convert the file to UTF-8"
        ) from None


def _jsonl(path: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        rows.append(_object(_parsed(line, where, "mend or remove this line"), where))
    return rows


def _json(path: Path, text: str) -> list[dict[str, Any]]:
    value = _parsed(text, path, "mend this line")
    if not isinstance(value, list):
        raise UserError(
            path, "is not a JSON list of rows", "give a list of objects, or one object a line as .jsonl"
        )
    return [_object(row, f"{path}, row {number}") for number, row in enumerate(value, 1)]


def _parsed(text: str, where: str | Path, mend: str) -> Any:
    """The value of a JSON text; half a character (a lone surrogate), which no file can hold, is refused too."""
    try:
        value = json.loads(text)
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}" if isinstance(where, Path) else where
        raise UserError(place, f"is not valid JSON ({error.msg})", mend) from None
    except UnicodeEncodeError:
        raise UserError(where, "holds half a character (a lone surrogate)", mend) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise UserError(where, f"is not valid JSON that can be read ({error})", mend) from None
    return value


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(where, "is not a JSON object", 'write rows as {"text": "..."}')
    return row


def _csv(path: Path, text: str) -> list[dict[str, Any]]:
    # Text fields are often longer than the 128 KiB that the reader allows by default.
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True)
    try:
        rows = list(reader)
    except csv.Error as error:
        raise UserError(
            f"{path}:{reader.line_num}", f"is not valid CSV ({error})", "mend this line"
        ) from None
    for number, row in enumerate(rows, 2):
        if None in row or None in row.values():
            count = len(reader.fieldnames or [])
            raise UserError(
                f"{path}, record {number}", f"has not {count} columns as the header", "mend this record"
            )
    return rows


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        return parquet.read_table(path).to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        what = f"is not a readable Parquet file ({str(error).splitlines()[0]})"
        raise UserError(path, what, "fetch or write the file again") from None
