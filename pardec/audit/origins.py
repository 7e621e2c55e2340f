"""The provenance blocks of a run, and what each says of the files beneath it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from pardec.audit.run import Run

DERIVED = ("results/values.json", "results/trails.json", "results/study.json", "results/floors.json")
"""JSON that copies provenance or has none of its own."""


@dataclass(frozen=True)
class Origin:
    """path: the file that holds the block. block: see `pardec.evidence.provenance`."""

    path: str
    block: dict[str, Any]

    @property
    def inputs(self) -> list[tuple[str, str]]:
        """(path, SHA-256) of what was read."""
        return _pairs(self.block.get("inputs"))

    @property
    def outputs(self) -> list[tuple[str, str]]:
        """(path, SHA-256) of what was written, where the block says."""
        return _pairs(self.block.get("outputs"))

    @property
    def machine_sha(self) -> str | None:
        return (self.block.get("machine") or {}).get("sha256")


def origins(run: Run) -> dict[str, Origin]:
    """Every provenance block of `run` by the file that holds it, sorted."""
    return run.once("origins", lambda: _origins(run))


def _origins(run: Run) -> dict[str, Origin]:
    found = {}
    for name in run.files():
        if not name.endswith(".json") or name in DERIVED:
            continue
        body = run.json(name)
        if not isinstance(body, dict):
            continue
        beside = name.endswith(("/provenance.json", ".provenance.json"))
        block = body if beside else body.get("provenance")
        if isinstance(block, dict):
            found[name] = Origin(name, block)
    return found


def maker(name: str, known: dict[str, Origin]) -> Origin | None:
    """The provenance of the file `name`: its own, the one that tells of it, or the one that stands beside it."""
    if name in known:
        return known[name]
    for origin in known.values():
        if any(name == path for path, _ in origin.outputs):
            return origin
    pure = PurePosixPath(name)
    beside = (pure.with_suffix(".provenance.json"), pure.parent / "provenance.json")
    return next((known[path.as_posix()] for path in beside if path.as_posix() in known), None)


def _pairs(entries: Any) -> list[tuple[str, str]]:
    """Entries without a hash of the whole file (a file cannot hold its own) are left out."""
    if not isinstance(entries, list):
        return []
    return [
        (e["path"], e["sha256"]) for e in entries if isinstance(e, dict) and {"path", "sha256"} <= e.keys()
    ]
