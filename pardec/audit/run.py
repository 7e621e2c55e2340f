"""A finished run, opened: a folder of results, or an archive of one."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import sha256

ARCHIVE = ".tar.zst"
LEFT_OUT = ("published", "logs")
"""Folders of results that are no part of a run: archives of other runs, and what jobs printed."""


class Run:
    """The files of a run under the names that they have in records: `results/...`.

    folder: the folder that stands for `results`. label: how the run is called in messages. damaged: what an archive's
    manifest says otherwise, as (name, what is wrong). archived: whether it came out of an archive.
    """

    def __init__(
        self, folder: Path, label: str, damaged: tuple[tuple[str, str], ...] = (), archived: bool = False
    ):
        self.folder, self.label, self.damaged, self.archived = folder.resolve(), label, damaged, archived
        self._hashes: dict[str, str | None] = {}
        self._bodies: dict[str, Any] = {}
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What `make` returns; made once for this run, which is taken not to change while it is open."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def files(self) -> list[str]:
        """Every file of the run by name, sorted; hidden files are not listed."""
        return self.once("files", self._walk)

    def _walk(self) -> list[str]:
        found = []
        for here, folders, names in os.walk(self.folder):
            inside = Path(here).relative_to(self.folder)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and not (inside == Path(".") and name in LEFT_OUT)
            ]
            found += [(Path("results") / inside / name).as_posix() for name in names if name[0] != "."]
        return sorted(found)

    def path(self, name: str) -> Path | None:
        """Where the file called `name` lies; None for a file outside of an archived run."""
        pure = Path(name)
        if pure.parts[:1] == ("results",):
            return self.folder.joinpath(*pure.parts[1:])
        return None if self.archived else self.folder.parent / pure

    def has(self, name: str) -> bool:
        path = self.path(name)
        return path is not None and path.is_file()

    def sha(self, name: str) -> str | None:
        """SHA-256 of a file, None where there is none; read once."""
        if name not in self._hashes:
            self._hashes[name] = sha256(self.path(name)) if self.has(name) else None
        return self._hashes[name]

    def json(self, name: str) -> Any:
        """The content of a JSON file, None where it is missing or damaged; read once."""
        if name not in self._bodies:
            body = None
            if self.has(name):
                with contextlib.suppress(ValueError):
                    body = json.loads(self.path(name).read_bytes())
            self._bodies[name] = body
        return self._bodies[name]

    def text(self, name: str) -> str:
        """The content of a text file; read once."""
        return self.once(
            ("text", name), lambda: self.path(name).read_text(encoding="utf-8", errors="replace")
        )

    def values(self) -> dict[str, Any]:
        """The content of values.json.

        Raises:
            UserError: missing or damaged.
        """
        body = self.json("results/values.json")
        if not isinstance(body, dict) or not isinstance(body.get("values"), dict):
            raise UserError(
                f"{self.label}: values.json", "is missing or damaged", "run `make all`, or name another run"
            )
        return body

    @contextlib.contextmanager
    def standing(self, tables: Path | None = None) -> Iterator[Path]:
        """Work in a temporary folder in which `results` is this run, as the table code expects.

        tables: a folder to stand for `results/tables`. Nothing in the run is written to.
        """
        with tempfile.TemporaryDirectory(prefix="pardec-") as name:
            place = Path(name) / "results"
            if tables is None:
                place.symlink_to(self.folder, target_is_directory=True)
            else:
                place.mkdir()
                for entry in self.folder.iterdir():
                    if entry.name != "tables":
                        (place / entry.name).symlink_to(entry.resolve())
                (place / "tables").symlink_to(tables.resolve(), target_is_directory=True)
            with contextlib.chdir(name):
                yield Path(name)
