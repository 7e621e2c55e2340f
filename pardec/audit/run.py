"""A finished run, opened: its files under the names that they have in records, and the provenance they hold."""

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
"""Folders of results that are no part of a run: archives of other runs, and what jobs printed."""
COPIES = ("results/values.json", "results/trails.json", "results/study.json", "results/floors.json")
"""JSON that copies provenance of other files, or has a key of that name by chance."""


@dataclass(frozen=True)
class Origin:
    """A provenance block. path: the file that holds it. block: see `pardec.evidence.provenance`."""

    path: str
    block: dict[str, Any]

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """(path, SHA-256) of what the job read."""
        return _pairs(self.block.get("inputs"))

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """(path, SHA-256) of what the job wrote beside the file that holds this block."""
        return _pairs(self.block.get("outputs"))


def _pairs(entries: Any) -> list[tuple[str, str]]:
    """Entries without a hash of the whole file (a file cannot hold its own) are left out."""
    listed = entries if isinstance(entries, list) else []
    return [
        (e["path"], e["sha256"]) for e in listed if isinstance(e, dict) and {"path", "sha256"} <= e.keys()
    ]


class Run:
    """The files of a run under the names that they have in records: `results/...`.

    folder: the folder that stands for `results`. label: how messages call the run. damaged: files that contradict an
    archive's manifest, as (name, what is wrong). archived: whether the run came out of an archive.
    """

    def __init__(
        self, folder: Path, label: str, damaged: tuple[tuple[str, str], ...] = (), archived: bool = False
    ):
        self.folder, self.label, self.damaged, self.archived = folder.resolve(), label, damaged, archived
        self._hashes: dict[str, str | None] = {}
        self._bodies: dict[str, Any] = {}
        self._known: dict[Any, Any] = {}

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """The result of `make`, made once: a run is taken not to change while it is open."""
        if key not in self._known:
            self._known[key] = make()
        return self._known[key]

    def files(self) -> list[str]:
        """Every file of the run by name, sorted; hidden files are not listed."""
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

    def origins(self) -> dict[str, Origin]:
        """Every provenance block by the file that holds it, sorted."""
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
        """The provenance of the file `name`: its own, the one that lists it, or the one beside it."""
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
    """Whether a file is nothing but the provenance of others."""
    return name.endswith(("/provenance.json", ".provenance.json"))
