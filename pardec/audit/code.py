"""Which project files have changed since a run's jobs ran them."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from pardec.audit.run import Origin
from pardec.common.closure import digest


def changed_code(root: Path, known: Iterable[Origin]) -> Iterator[tuple[str, str]]:
    """(project file, what is wrong) for each file that is not the one that some job ran.

    A job records one hash over all files it ran. Where the commit that it names gives that hash, the files that differ
    from the commit are the changed ones. Otherwise the changed file is one that every job with a wrong hash ran, and no
    job with a right one.
    """
    fresh: set[str] = set()
    stale: dict[tuple[str, str, tuple[str, ...]], list[str]] = {}
    for origin in known:
        files, sha = tuple(origin.block.get("code") or ()), origin.block.get("code_sha256")
        if not files or not sha:
            continue
        if _digest(root, files) == sha:
            fresh |= set(files)
        else:
            commit = (origin.block.get("git") or {}).get("commit") or ""
            stale.setdefault((commit, sha, files), []).append(origin.path)
    jobs: dict[str, list[str]] = {}
    unknown = []
    for (commit, sha, files), paths in stale.items():
        changed = _since(root, commit, files, sha)
        if changed:
            for file in changed:
                jobs.setdefault(file, []).extend(paths)
        else:
            unknown.append((set(files), paths))
    for file, paths in jobs.items():
        yield file, f"is not the code that {named(paths)} ran: run `make all` again"
    shared = set.intersection(*(files for files, _ in unknown)) - fresh if unknown else set()
    groups = [(shared, [path for _, paths in unknown for path in paths])] if shared else unknown
    for files, paths in groups:
        suspects = sorted(files - fresh) or sorted(files)
        others = f"or one of {len(suspects) - 1} more files " if len(suspects) > 1 else ""
        yield (
            _likely(root, suspects),
            f"{others}is not the code that {named(paths)} ran: run `make all` again",
        )


def named(paths: Iterable[str]) -> str:
    """The first of several files, and how many more there are."""
    first, *rest = sorted(paths)
    return first + (f" (and {len(rest)} more)" if rest else "")


def _digest(root: Path, files: tuple[str, ...]) -> str | None:
    return digest(root, files) if all((root / file).is_file() for file in files) else None


def _likely(root: Path, suspects: list[str]) -> str:
    """A missing suspect, else the one written last."""
    gone = [file for file in suspects if not (root / file).is_file()]
    return gone[0] if gone else max(suspects, key=lambda file: (root / file).stat().st_mtime_ns)


def _since(root: Path, commit: str, files: tuple[str, ...], sha: str) -> list[str] | None:
    """Which of `files` differ from `commit`; None where the job did not run the commit's files."""
    then = {file: _at_commit(root, commit, file) for file in files} if commit else {}
    total = hashlib.sha256()
    for file in files:
        if then.get(file) is None:
            return None
        total.update(f"{file}\0{hashlib.sha256(then[file]).hexdigest()}\n".encode())
    if total.hexdigest() != sha:
        return None
    return [file for file in files if not (root / file).is_file() or (root / file).read_bytes() != then[file]]


@cache
def _at_commit(root: Path, commit: str, file: str) -> bytes | None:
    command = ["git", "-C", str(root), "show", f"{commit}:{file}"]
    try:
        return subprocess.run(command, check=True, capture_output=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
