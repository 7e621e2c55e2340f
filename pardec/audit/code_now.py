"""Which project files have changed since a run's jobs ran them."""

from __future__ import annotations

import hashlib
import subprocess
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from pardec.audit.faults import Fault
from pardec.audit.origins import Origin
from pardec.common.closure import digest


def changed_code(root: Path, known: Iterable[Origin]) -> list[Fault]:
    """Faults that name the changed files.

    A job tells one hash over all files it ran. Where the commit it names gives that hash, the files that differ from
    the commit are the changed ones; elsewhere suspicion falls on the files that every job with a wrong hash shares and
    no job with a right one ran.
    """
    fresh: set[str] = set()
    stale: list[Origin] = []
    for origin in known:
        files, sha = origin.block.get("code"), origin.block.get("code_sha256")
        if not files or not sha:
            continue
        if all((root / file).is_file() for file in files) and digest(root, files) == sha:
            fresh |= set(files)
        else:
            stale.append(origin)
    reasons: dict[str, Counter] = {}
    blamed: dict[tuple[str, str], list[str] | None] = {}
    loose = []
    for origin in stale:
        commit, files = (origin.block.get("git") or {}).get("commit"), origin.block["code"]
        key = (commit or "", origin.block["code_sha256"])
        if key not in blamed:
            blamed[key] = _since_commit(root, commit, files, origin.block["code_sha256"])
        if blamed[key]:
            for file in blamed[key]:
                reasons.setdefault(file, Counter())[origin.path] += 1
        else:
            loose.append(origin)
    faults = [
        Fault(file, f"is not the code that {_first(jobs)} ran: run `make all` again")
        for file, jobs in reasons.items()
    ]
    if loose:
        shared = set.intersection(*(set(origin.block["code"]) for origin in loose))
        for group in [loose] if shared - fresh else [[origin] for origin in loose]:
            suspects = set.intersection(*(set(origin.block["code"]) for origin in group))
            suspects = sorted(suspects - fresh) or sorted(suspects)
            jobs = [origin.path for origin in group]
            doubt = f", or one of {len(suspects) - 1} other files," if len(suspects) > 1 else ""
            start = f"was written last; it{doubt} is" if doubt else "is"
            why = f"{start} not the code that {_first(jobs)} ran"
            faults.append(Fault(_likely(root, suspects), why))
    return faults


def _first(jobs: Iterable[str]) -> str:
    jobs = sorted(jobs)
    return jobs[0] + (f" (and {len(jobs) - 1} more)" if len(jobs) > 1 else "")


def _likely(root: Path, suspects: list[str]) -> str:
    """A missing suspect, else the one written last."""
    gone = [file for file in suspects if not (root / file).is_file()]
    return gone[0] if gone else max(suspects, key=lambda file: (root / file).stat().st_mtime_ns)


def _since_commit(root: Path, commit: str | None, files: list[str], sha: str) -> list[str] | None:
    """Which of `files` differ from `commit`; None where the job did not run the commit's files."""
    if not commit:
        return None
    then = {file: _blob(root, commit, file) for file in files}
    if any(text is None for text in then.values()):
        return None
    total = hashlib.sha256()
    for file in files:
        total.update(f"{file}\0{hashlib.sha256(then[file]).hexdigest()}\n".encode())
    if total.hexdigest() != sha:
        return None
    return [file for file in files if not (root / file).is_file() or (root / file).read_bytes() != then[file]]


_BLOBS: dict[tuple[Path, str, str], bytes | None] = {}


def _blob(root: Path, commit: str, file: str) -> bytes | None:
    key = (root, commit, file)
    if key not in _BLOBS:
        command = ["git", "-C", str(root), "show", f"{commit}:{file}"]
        try:
            _BLOBS[key] = subprocess.run(command, check=True, capture_output=True).stdout
        except (OSError, subprocess.CalledProcessError):
            _BLOBS[key] = None
    return _BLOBS[key]
