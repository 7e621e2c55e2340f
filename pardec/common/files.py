"""Atomic writing and checked reading of files, so that no partly written file is used."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError

LFS = b"version https://git-lfs.github.com/spec/"
"""The start of a pointer to a file in Git's large file storage."""
WRITE_FAULTS = {
    errno.ENOSPC: ("cannot be written: the disk is full", "free some space and run the same command again"),
    errno.EDQUOT: ("cannot be written: the disk quota is used up", "free some space and run again"),
    errno.EFBIG: ("cannot be written: it grows past the largest file allowed", "raise `ulimit -f`"),
    errno.EROFS: ("cannot be written: the file system is read-only", "mount it writable, or work elsewhere"),
    errno.EACCES: ("cannot be written: permission denied", "make the folder writable, or work elsewhere"),
    errno.EPERM: ("cannot be written: permission denied", "make the folder writable, or work elsewhere"),
    errno.ENOTDIR: ("cannot be written: a part of its path is a file", "remove that file"),
    errno.ENAMETOOLONG: ("cannot be written: its name is too long", "choose shorter names"),
}
"""Fault and fix of each error code of a file that cannot be written."""
WHILE_WRITING = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Those of them that only writing can cause, whatever else the body of `atomic` does."""


@contextmanager
def atomic(path: str | Path, suffix: str = "") -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success flush it to disk and rename it into place.

    The folder is flushed too, so that after a power loss either the old file or the complete new one exists.

    Raises:
        UserError: the disk is full, or the folder is not writable; nothing is left behind.
    """
    path = Path(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:150]}.", suffix=suffix)
    except FileExistsError:  # of a folder to be made; temporary names are drawn until one is free
        _raise_known(path, OSError(errno.ENOTDIR, ""))
        raise
    except OSError as error:
        _raise_known(path, error)
        raise
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with open(temporary, "rb") as written:
            os.fsync(written.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, path)
        _flush_folder(path.parent)
    except Exception as error:
        # safetensors reports a full disk by an exception of a different type.
        if "No space left" in str(error):
            _raise_known(path, OSError(errno.ENOSPC, ""))
        if isinstance(error, OSError) and error.errno in WHILE_WRITING:
            _raise_known(path, error)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _raise_known(path: Path, error: OSError) -> None:
    if error.errno in WRITE_FAULTS:
        raise UserError(path, *WRITE_FAULTS[error.errno]) from None


def _flush_folder(folder: Path) -> None:
    """Flush a rename to disk, where the system can open a folder."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass  # some network file systems cannot; the rename itself is still whole or not at all
    finally:
        os.close(handle)


def write_text(path: str | Path, text: str) -> None:
    """Write `text` whole or not at all, see `atomic`."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any, indent: int | None = 1) -> None:
    """Write `value` as JSON; NaN and infinities are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=indent, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises:
        UserError: the file is missing or damaged; names it.
    """
    text = ""
    try:
        text = Path(path).read_text(encoding="utf-8")
        return json.loads(text)
    except FileNotFoundError:
        raise UserError(path, "does not exist", "check the path, or run `make all` to produce it") from None
    except (ValueError, RecursionError) as error:
        if text.encode().startswith(LFS):
            fix = "run `git lfs pull` where it comes from, and give the file itself"
            raise UserError(path, "is a pointer of Git LFS, not the file", fix) from None
        raise UserError(
            path,
            f"is not valid JSON ({error})",
            "mend it or fetch it again if it is yours; what a run wrote is made again once it is removed",
        ) from None


def read_lines(path: str | Path) -> list[str]:
    """Return the lines of a text file, stripped, without empty ones.

    Raises:
        UserError: it does not exist, or is not UTF-8.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        raise UserError(path, "does not exist", "name a file with one entry a line") from None
    except UnicodeDecodeError as error:
        raise UserError(path, f"is not UTF-8 text ({error})", "write it again") from None
    return [line.strip() for line in lines if line.strip()]


def write_jsonl(path: str | Path, rows: Iterable[dict]) -> None:
    """Write one JSON object per line, whole or not at all; NaN and infinities are refused."""
    write_text(path, "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows))


def read_jsonl(path: str | Path) -> list[dict]:
    """Read one JSON object per line.

    Raises:
        UserError: the file is missing, or a line is damaged; names file and line.
    """
    try:
        lines = Path(path).read_text(encoding="utf-8").split("\n")
    except FileNotFoundError:
        raise UserError(path, "does not exist", "check the path, or run `make all` to produce it") from None
    except UnicodeDecodeError as error:
        raise UserError(path, f"is not UTF-8 text ({error})", "convert the file to UTF-8") from None
    rows = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            rows.append(json.loads(line))
        except (ValueError, RecursionError) as error:  # broken, nested without end, or a number without end
            raise UserError(
                f"{path}:{number}", f"is not a JSON object ({error})", "mend or remove this line"
            ) from None
    return rows


def sha256(path: str | Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()
