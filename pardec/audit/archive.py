"""Archive a run in one compressed tar; names are sorted, times and owners fixed, so equal runs give equal bytes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
import tarfile
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from pardec.audit.run import ARCHIVE, LEFT_OUT, Run
from pardec.common.errors import UserError
from pardec.common.files import atomic, read_json, sha256
from pardec.common.lazy import lazy
from pardec.models.sources.restored import WEIGHTS

zstandard = lazy("zstandard")

MANIFEST = "manifest.json"
APART = "apart.json"
"""Beside the results of an unpacked archive: files that it names and does not contain."""
SCHEMA = 1
LEVEL = 9
"""Compression level. Higher ones take minutes and save a tenth or more: worth it for what is published, which every
clone fetches."""
WINDOW_LOG = 26
"""Bytes over which repetitions are found, as a power of two: several files hold the same tokenizer, or numbers of one
table. Readers accept up to 27."""
CHUNK = 1 << 20
LARGEST_MANIFEST = 1 << 28
"""Largest accepted manifest in bytes, since it is read into memory."""


def write_archive(
    run: Run, out: str | Path, apart: Collection[str] = (), level: int = LEVEL
) -> dict[str, Any]:
    """Write `run` to `out` and return the manifest.

    apart: files that the archive names with their hashes and does not contain: published weights, which lie beside it.
    level: zstandard's compression level.

    Raises:
        UserError: `out` has another ending, lies inside the run, or the run is empty, has links or changes meanwhile.
    """
    out = Path(out)
    if not out.name.endswith(ARCHIVE):
        raise UserError(out, f"does not end in {ARCHIVE}", f"call it {out.name.split('.')[0]}{ARCHIVE}")
    inside = out.resolve()
    if inside.is_relative_to(run.folder) and inside.relative_to(run.folder).parts[0] not in LEFT_OUT:
        raise UserError(out, "lies inside the run", "write it beside the results, or to results/published/")
    names = [name for name in run.files() if name not in apart]
    if not names:
        raise UserError(run.label, "contains no files", "run `make all` first")
    for name in names:
        if run.file(name).is_symlink() or not run.file(name).is_file():
            raise UserError(run.path(name), "is a link or no plain file", "replace it by the file itself")
    manifest = describe(run, names, apart)
    how = zstandard.ZstdCompressionParameters.from_level(
        level, enable_ldm=True, window_log=WINDOW_LOG, write_checksum=True
    )
    packer = zstandard.ZstdCompressor(compression_params=how)
    with (
        atomic(out, ARCHIVE) as path,
        open(path, "wb") as raw,
        packer.stream_writer(raw, closefd=False) as packed,
        tarfile.open(fileobj=packed, mode="w|", format=tarfile.PAX_FORMAT) as tar,
    ):
        text = (json.dumps(manifest, indent=1, ensure_ascii=False) + "\n").encode()
        tar.addfile(_member(MANIFEST, len(text)), io.BytesIO(text))
        for name in names:
            with _Hashed(run.file(name)) as file:
                tar.addfile(_member(name, manifest["files"][name]["bytes"]), file)
            if file.digest() != manifest["files"][name]["sha256"]:
                raise UserError(run.path(name), "changed while it was read", "wait until the run has ended")
    return manifest


def describe(run: Run, names: list[str], apart: Collection[str] = ()) -> dict[str, Any]:
    """Return an archive's manifest: study, commits, machine, and every file's hash and size."""
    study = run.json("results/study.json") or {}
    commits = {
        (git.get("commit"), bool(git.get("dirty")))
        for git in (origin.block.get("git") or {} for origin in run.origins().values())
        if git.get("commit")
    }
    machine = run.json("results/machine.json") or {}
    return {
        "schema": SCHEMA,
        "study": {key: study.get(key) for key in ("name", "title", "seed")},
        "git": [{"commit": commit, "dirty": dirty} for commit, dirty in sorted(commits)],
        "machine": {key: value for key, value in machine.items() if key != "provenance"},
        "files": {name: {"sha256": run.sha(name), "bytes": run.file(name).stat().st_size} for name in names},
        **({"apart": {name: run.sha(name) for name in sorted(apart)}} if apart else {}),
    }


def unpack(path: str | Path, to: Path) -> list[tuple[str, str]]:
    """Unpack an archive below `to`; return files that contradict its manifest, as (name, what is wrong).

    A member is refused before it is written if it is a link or device, has an absolute name or one outside of
    `results`, or comes twice. So is an archive whose files exceed the free disk space.

    Raises:
        UserError: the file is not an archive of a run, or is damaged or unsafe.
    """
    mend = "fetch or write the archive again"
    unpacked: dict[str, str] = {}
    try:
        with (
            open(path, "rb") as raw,
            zstandard.ZstdDecompressor().stream_reader(raw) as packed,
            tarfile.open(fileobj=packed, mode="r|") as tar,
        ):
            members = iter(tar)
            manifest = _manifest(path, tar, next(members, None))
            room = shutil.disk_usage(to).free
            if sum(entry["bytes"] for entry in manifest["files"].values()) > room:
                raise UserError(path, "unpacks to more than the disk holds", "set TMPDIR to a larger disk")
            for member in members:
                name = _safe(path, member)
                if name in unpacked:
                    raise UserError(path, f"contains {name} twice", mend)
                known = manifest["files"].get(name)
                if known is None or member.size != known["bytes"]:
                    unpacked[name] = ""  # contradicts the manifest: reported, never written
                    continue
                unpacked[name] = _write(tar.extractfile(member), to / name)
            while packed.read(CHUNK):  # the checksum is at the end
                pass
    except (zstandard.ZstdError, tarfile.TarError, EOFError, OSError) as error:
        raise UserError(path, f"is not a readable archive of a run ({error})", mend) from None
    (to / "results").mkdir(exist_ok=True)
    _join(path, manifest.get("apart") or {}, to)
    return list(_differences(manifest["files"], unpacked))


def _join(path: str | Path, apart: dict[str, str], to: Path) -> None:
    """Link the files that the archive names and does not contain, if they lie in a folder of weights beside it."""
    if not apart:
        return
    study = Path(path).resolve().parent
    beside = [
        file for folder in (study, study.parent) for file in sorted((folder / WEIGHTS).glob("*.safetensors"))
    ]
    known = {sha256(file): file for file in beside}
    for name, sha in apart.items():
        if sha in known and not (to / name).exists():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).symlink_to(known[sha])
    (to / APART).write_text(json.dumps(apart), encoding="utf-8")


def _differences(files: dict[str, dict], unpacked: dict[str, str]) -> Iterator[tuple[str, str]]:
    for name in sorted({*files, *unpacked}):
        if name not in files:
            yield name, "is not in the archive's manifest"
        elif name not in unpacked:
            yield name, "is in the archive's manifest and not in the archive"
        elif unpacked[name] != files[name]["sha256"]:
            yield name, "differs from the SHA-256 in the archive's manifest"


def _manifest(path: str | Path, tar: tarfile.TarFile, member: tarfile.TarInfo | None) -> dict[str, Any]:
    wrong = UserError(path, "is not an archive of a run (no manifest)", "write one with `pardec archive`")
    if member is None or member.name != MANIFEST or not member.isreg() or member.size > LARGEST_MANIFEST:
        raise wrong
    content = tar.extractfile(member)
    if content is None:
        raise wrong
    try:
        body = json.loads(content.read())
        if body["schema"] != SCHEMA:
            raise UserError(path, f"has schema {body['schema']!r}", f"this version reads schema {SCHEMA}")
        for entry in body["files"].values():
            int(entry["bytes"]), str(entry["sha256"])
        for name, sha in (body.get("apart") or {}).items():
            _inside(path, name), str(sha)
    except (ValueError, KeyError, TypeError, AttributeError):
        raise wrong from None
    return body


def _safe(path: str | Path, member: tarfile.TarInfo) -> str:
    if not member.isreg():
        raise UserError(
            path, f"contains {member.name!r}, which is a link or no plain file", "do not trust it"
        )
    return _inside(path, member.name)


def _inside(path: str | Path, name: str) -> str:
    """Return the name of a member.

    Raises:
        UserError: it leads outside of `results`.
    """
    pure = PurePosixPath(name)
    leaves = pure.is_absolute() or ".." in pure.parts or "\\" in name or "\0" in name
    if leaves or pure.parts[:1] != ("results",) or len(pure.parts) < 2 or pure.as_posix() != name:
        raise UserError(path, f"contains {name!r}, a name outside of results/", "do not trust it")
    return name


def _write(source: Any, target: Path) -> str:
    """Write a member's bytes and return their SHA-256."""
    total = hashlib.sha256()
    target.parent.mkdir(parents=True, exist_ok=True)
    with open(target, "xb") as file:
        while chunk := source.read(CHUNK):
            total.update(chunk)
            file.write(chunk)
    return total.hexdigest()


def _member(name: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size, member.mode, member.mtime = size, 0o644, 0
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member


class _Hashed(contextlib.AbstractContextManager):
    """A file that is hashed as it is read."""

    def __init__(self, path: Path):
        self.file, self.total = open(path, "rb"), hashlib.sha256()  # noqa: SIM115 (closed in __exit__)

    def read(self, size: int = -1) -> bytes:
        chunk = self.file.read(size)
        self.total.update(chunk)
        return chunk

    def digest(self) -> str:
        return self.total.hexdigest()

    def __exit__(self, *_: object) -> None:
        self.file.close()


@contextlib.contextmanager
def open_run(path: str | Path) -> Iterator[Run]:
    """Open a folder of results or an archive; the folder of an unpacked archive is deleted at the end.

    Raises:
        UserError: `path` is neither, or an archive that is damaged or unsafe.
    """
    path = Path(path)
    if path.is_dir():
        marks = ("values.json", "cells", "tables", "study.json")
        if not any((path / mark).exists() for mark in marks):
            inner = path / "results"
            fix = (
                f"name {inner}"
                if inner.is_dir()
                else "run `make all`, or name the folder that contains values.json"
            )
            raise UserError(path, "is not a folder of results", fix)
        yield Run(path, str(path))
    elif path.is_file():
        with tempfile.TemporaryDirectory(prefix="pardec-") as name:
            damaged = unpack(path, Path(name))
            apart = Path(name) / APART
            named = frozenset(read_json(apart)) if apart.is_file() else frozenset()
            yield Run(Path(name) / "results", str(path), tuple(damaged), archived=True, apart=named)
    else:
        raise UserError(path, "does not exist", f"name a folder of results, or an archive {ARCHIVE}")
