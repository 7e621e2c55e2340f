"""Rows of local files: JSON Lines, JSON, CSV, Parquet, plain text; the text formats gzipped too."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import zlib
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import LFS

FORMATS = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".txt")
ALIASES = {".ndjson": ".jsonl", ".raw": ".txt", ".tokens": ".txt"}
"""Other endings in use: of JSON Lines, and of wikitext's files."""
MARK = "\ufeff"
"""The byte-order mark. Tools put it before a file, and joined files have it before later lines too."""
PARQUET, GZIP = b"PAR1", b"\x1f\x8b"
"""How such files begin."""
MOST_PACKED = 2
"""How often a file may be gzipped; some gzip files contain themselves."""
SPACE = re.compile(r"\s*")


def read_rows(path: str | Path, lines: bool = False) -> list[dict[str, Any]]:
    """Return the rows of a file, by its suffix in any case, with or without `.gz`.

    Plain text (.txt, or wikitext's .raw and .tokens) gives one row {"text"} per paragraph, or one per line if `lines`.
    A .json or .jsonl file contains a list of objects, or consecutive objects.

    Raises:
        UserError: a missing, empty, binary, damaged or unknown file, or one that names a column twice; names it and, if
            it can, the line.
    """
    path = Path(path)
    if path.is_dir():
        raise UserError(path, "is a folder", "name one file in it")
    if not path.is_file():
        raise UserError(path, "does not exist", "check the path of the data set")
    if path.stat().st_size == 0:
        raise UserError(path, "is empty", "give a file that contains prompts")
    name = path.name.lower().removesuffix(".gz")
    suffix = Path(name).suffix
    kind = ALIASES.get(suffix, suffix)
    if kind not in FORMATS or (kind == ".parquet" and name != path.name.lower()):
        raise UserError(path, f"has an unknown format {path.suffix!r}", f"known: {', '.join(FORMATS)}")
    if kind == ".parquet":
        return _parquet(path)
    with open(path, "rb") as file:
        if file.read(len(PARQUET)) == PARQUET:
            raise UserError(path, "is a Parquet file", "let its name end in .parquet")
    text = read_text(path)
    if kind == ".jsonl" and not text.lstrip().startswith("["):
        return _jsonl(path, text)
    if kind in (".json", ".jsonl"):
        return _json(path, text)
    if kind in (".csv", ".tsv"):
        # Spreadsheets of countries with decimal commas separate by semicolons; others by tabs or bars.
        header = re.sub('"[^"]*"', "", text.lstrip("\n").partition("\n")[0])
        others = [mark for mark in ";\t|" if mark in header]
        comma = others[0] if len(others) == 1 and "," not in header else ","
        return _csv(path, text, comma if kind == ".csv" else "\t")
    if _are_objects(text):
        raise UserError(path, "contains JSON Lines, not plain text", "let its name end in .jsonl")
    parts = text.split("\n") if lines else re.split(r"\n\s*\n", text)
    return [{"text": part if lines else part.strip()} for part in parts]


def _are_objects(text: str) -> bool:
    """Return whether every line is a JSON object."""
    lines = [line for line in text.split("\n") if line.strip()]
    try:
        return bool(lines) and all(line.lstrip()[0] == "{" and json.loads(line) != {} for line in lines)
    except (ValueError, RecursionError):
        return False


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, gzipped or not, whatever its name says.

    Line ends are `\\n`, and no line has a byte-order mark before it.

    Raises:
        UserError: a binary file, a damaged gzip file, or invalid UTF-8 (with the offset of the first bad byte).
    """
    raw = path.read_bytes()
    if raw.startswith(LFS):
        fix = "run `git lfs pull` where it comes from, and give the file itself"
        raise UserError(path, "is a pointer of Git LFS, not the file", fix)
    for _ in range(MOST_PACKED):
        if not raw.startswith(GZIP):
            break
        try:
            raw = gzip.decompress(raw)
        except (OSError, EOFError, zlib.error) as error:
            raise UserError(
                path, f"is not a whole gzip file ({error})", "fetch or write the file again"
            ) from None
    if raw[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        raise UserError(path, "is an HTML page", "download the file itself, not the page that shows it")
    if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)):
        raise UserError(path, "is UTF-16 text", "convert the file to UTF-8")
    if b"\0" in raw:
        raise UserError(path, "is a binary file", "give a text file, or a Parquet file that ends in .parquet")
    try:
        text = raw.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise UserError(
            path, f"is not UTF-8 text (byte {error.start})", "convert the file to UTF-8"
        ) from None
    return re.sub(f"^{MARK}+", "", text, flags=re.MULTILINE) if MARK in text else text


def _jsonl(path: Path, text: str) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        rows.append(_object(_parsed(line, where, "mend or remove this line"), where))
    return rows


def _json(path: Path, text: str) -> list[dict[str, Any]]:
    try:
        json.JSONDecoder().decode(text)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":
            lines = "\n" not in text[: error.pos].strip()
            return _jsonl(path, text) if lines else _values(path, text)
    except (ValueError, RecursionError):
        pass  # reported below
    value = _parsed(text, path, "mend this line")
    if not isinstance(value, list):
        fix = "give a list of objects, or one object per line as .jsonl"
        lists = (
            [key for key, inner in value.items() if isinstance(inner, list)]
            if isinstance(value, dict)
            else []
        )
        if lists:
            fix = f"give the list under {lists[0]!r} as a file of its own, or one object per line as .jsonl"
        raise UserError(path, "is not a JSON list of rows", fix)
    return [_object(row, f"{path}, row {number}") for number, row in enumerate(value, 1)]


def _values(path: Path, text: str) -> list[dict[str, Any]]:
    """Return the objects of a file with consecutive objects, each over several lines."""
    rows: list[dict[str, Any]] = []
    place, decoder = _after_space(text, 0), json.JSONDecoder()
    while place < len(text):
        try:
            _, end = decoder.raw_decode(text, place)
        except json.JSONDecodeError as error:
            raise UserError(
                f"{path}:{error.lineno}", f"is not valid JSON ({error.msg})", "mend this line"
            ) from None
        where = f"{path}, row {len(rows) + 1}"
        rows.append(_object(_parsed(text[place:end], where, "mend this row"), where))
        place = _after_space(text, end)
    return rows


def _after_space(text: str, place: int) -> int:
    match = SPACE.match(text, place)
    return match.end() if match else place


def _parsed(text: str, where: str | Path, mend: str) -> Any:
    """Return the value of a JSON text; refuse half a character (a lone surrogate), which no file can contain."""
    try:
        value = json.loads(text, object_pairs_hook=lambda pairs: _unique(pairs, where))
        if "\\u" in text:
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}" if isinstance(where, Path) else where
        raise UserError(place, f"is not valid JSON ({error.msg})", mend) from None
    except UnicodeEncodeError:
        raise UserError(where, "contains half a character (a lone surrogate)", mend) from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, brackets without end
        raise UserError(where, f"is not valid JSON that can be read ({error})", mend) from None
    return value


def _unique(pairs: list[tuple[str, Any]], where: str | Path) -> dict[str, Any]:
    _once((name for name, _ in pairs), where)
    return dict(pairs)


def _once(names: Iterable[str], where: str | Path) -> None:
    """Return an object from its pairs; refuse a repeated name, since only its last value would be kept."""
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise UserError(where, f"names {twice[0]!r} twice", "give each column a name of its own")


def _object(row: Any, where: str) -> dict[str, Any]:
    if not isinstance(row, dict):
        raise UserError(where, "is not a JSON object", 'write rows as {"text": "..."}')
    return row


def _csv(path: Path, text: str, delimiter: str) -> list[dict[str, Any]]:
    # Text fields are often longer than the 128 KiB that the reader allows by default.
    csv.field_size_limit(1 << 30)
    reader = csv.DictReader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        _once(reader.fieldnames or [], f"{path}:1")
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
    # A CSV file writes missing values as empty text.
    return [{name: value or None for name, value in row.items()} for row in rows]


def _parquet(path: Path) -> list[dict[str, Any]]:
    import pyarrow
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            _once(file.schema_arrow.names, path)
            return file.read().to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        with open(path, "rb") as file:
            pointer = file.read(len(LFS)) == LFS
        what = f"is not a readable Parquet file ({'a pointer of Git LFS' if pointer else str(error).splitlines()[0]})"
        raise UserError(path, what, "fetch or write the file again") from None
