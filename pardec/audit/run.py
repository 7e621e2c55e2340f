"""A finished run: its files by the names that records use, and their provenance."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from pardec.common.errors import UserError
from pardec.common.files import sha256

ARCHIVE = ".tar.zst"
LEFT_OUT = ("published", "logs")
"""Folders of results that do not belong to a run: archives of other runs, and logs."""
COPIES = ("results/values.json", "results/trails.json", "results/study.json", "results/floors.json")
"""JSON files whose key `provenance`, if any, is not their own."""


@dataclass(frozen=True)
class Origin:
    """A provenance block. path: the file that contains it. block: see `pardec.evidence.provenance`."""

    path: str
    block: dict[str, Any]

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """Return (path, SHA-256) of each file that the job read."""
        return _pairs(self.block.get("inputs"))

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """Return (path, SHA-256) of each file that the job wrote, except the file with this block."""
        return _pairs(self.block.get("outputs"))


def _pairs(entries: Any) -> list[tuple[str, str]]:
    """Return (path, SHA-256) of entries; those without a hash of the whole file are left out."""
    listed = entries if isinstance(entries, list) else []
    return [
        (e["path"], e["sha256"]) for e in listed if isinstance(e, dict) and {"path", "sha256"} <= e.keys()
    ]


class Run:
    """The files of a run by the names that records use: `results/...`.

    folder: the folder in place of `results`. label: the run's name in messages. damaged: files that contradict an
    archive's manifest, as (name, what is wrong). archived: whether the run was unpacked from an archive. apart: files
    that the archive names and does not contain.
    """

    def __init__(
        self,
        folder: Path,
        label: str,
        damaged: tuple[tuple[str, str], ...] = (),
        archived: bool = False,
        apart: frozenset[str] = frozenset(),
    ):
        self.apart = apart
        self.folder, self.label, self.damaged, self.archived = folder.resolve(), label, damaged, archived
        self._known: dict[Any, Any] = {}

    def __reduce__(self) -> tuple:
        """Let another process read the files itself."""
        return type(self), (self.folder, self.label, self.damaged, self.archived)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """Return the result of `make`, computed once: a run must not change while it is open."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def files(self) -> list[str]:
        """Return the names of the run's files, sorted, without hidden files."""
        return self.once("files", self._walk)

    def _walk(self) -> list[str]:
        names_found = []
        for here, folders, names in os.walk(self.folder):
            inside = Path(here).relative_to(self.folder)
            folders[:] = [
                name
                for name in folders
                if not name.startswith(".") and not (inside == Path(".") and name in LEFT_OUT)
            ]
            names_found += [(Path("results") / inside / name).as_posix() for name in names if name[0] != "."]
        return sorted(names_found)

    def path(self, name: str) -> Path | None:
        """Return the path of the file `name`; None for a file outside of an archived run."""
        pure = Path(name)
        if pure.parts[:1] == ("results",):
            return self.folder.joinpath(*pure.parts[1:])
        return None if self.archived else self.folder.parent / pure

    def file(self, name: str) -> Path:
        """Return the path of the file `name`.

        Raises:
            FileNotFoundError: the file lies outside of an archived run.
        """
        path = self.path(name)
        if path is None:
            raise FileNotFoundError(f"{name} is not part of {self.label}")
        return path

    def has(self, name: str) -> bool:
        """Return whether the run has the file `name`."""
        path = self.path(name)
        return path is not None and path.is_file()

    def sha(self, name: str) -> str | None:
        """Return the SHA-256 of a file, None if it is missing; read once."""
        return self.once(("sha", name), lambda: sha256(self.file(name)) if self.has(name) else None)

    def json(self, name: str) -> Any:
        """Return the content of a JSON file, None if it is missing or damaged; read once."""
        return self.once(("json", name), lambda: self._json(name))

    def _json(self, name: str) -> Any:
        if self.has(name):
            with contextlib.suppress(ValueError):
                return json.loads(self.file(name).read_bytes())
        return None

    def text(self, name: str) -> str:
        """Return the content of a text file; read once."""
        return self.once(
            ("text", name), lambda: self.file(name).read_text(encoding="utf-8", errors="replace")
        )

    def refuse_damage(self) -> None:
        """Refuse a run whose archive is damaged.

        Raises:
            UserError: the run is an archive with a file that contradicts its manifest.
        """
        if self.damaged:
            name, why = self.damaged[0]
            raise UserError(f"{self.label}: {name}", why, "fetch or write the archive again")

    def body(self, name: str) -> dict[str, Any]:
        """Return the content of a JSON file of the results that contains an object.

        Raises:
            UserError: the file is missing or damaged.
        """
        content = self.json(f"results/{name}")
        if not isinstance(content, dict):
            raise UserError(
                f"{self.label}: {name}", "is missing or damaged", "run `make all`, or name another run"
            )
        return content

    def values(self) -> dict[str, Any]:
        """Return the content of values.json; see `body`."""
        content = self.body("values.json")
        if not isinstance(content.get("values"), dict):
            raise UserError(f"{self.label}: values.json", "contains no values", "run `make all` again")
        return content

    def origins(self) -> dict[str, Origin]:
        """Return every provenance block by the file that contains it, sorted."""
        return self.once("origins", self._origins)

    def _origins(self) -> dict[str, Origin]:
        blocks = {}
        for name in self.files():
            body = self.json(name) if name.endswith(".json") and name not in COPIES else None
            if isinstance(body, dict):
                block = body if is_sidecar(name) else body.get("provenance")
                if isinstance(block, dict):
                    blocks[name] = Origin(name, block)
        return blocks

    def maker(self, name: str) -> Origin | None:
        """Return the provenance of the file `name`: inside it, or listing it, or beside it; None without any."""
        known = self.origins()
        if name in known:
            return known[name]
        listed = self.once(
            "makers", lambda: {path: origin for origin in known.values() for path, _ in origin.outputs}
        )
        if name in listed:
            return listed[name]
        pure = PurePosixPath(name)
        beside = (pure.with_suffix(".provenance.json"), pure.parent / "provenance.json")
        return next((known[path.as_posix()] for path in beside if path.as_posix() in known), None)


def is_sidecar(name: str) -> bool:
    """Return whether a file is a provenance sidecar."""
    return name.endswith(("/provenance.json", ".provenance.json"))
