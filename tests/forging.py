"""What a careful forger would do to a run: change a file and every hash that anything tells of it."""

from __future__ import annotations

import contextlib
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from pardec.audit import remake
from pardec.audit.run import Run
from pardec.common.files import sha256, write_json
from pardec.evidence.provenance import content, self_hash

TEXT = (".json", ".csv", ".html")
HASH = re.compile(rb"[0-9a-f]{64}")


def edit_json(path: Path, change) -> None:
    """Let `change` edit the file's content, and make the hash that the file tells of itself fit again."""
    body = json.loads(path.read_bytes())
    change(body)
    write_json(path, _resealed(body))


def forge(results: Path, old: dict[Path, str]) -> int:
    """Make every hash in a run fit files that were changed; return how many files that took.

    old: the SHA-256 that each file of the run had.
    """
    now, given, touched = {path: sha256(path) for path in old if path.is_file()}, dict(old), set()
    while news := {given[path]: new for path, new in now.items() if new != given[path]}:
        given = {path: news.get(was, was) for path, was in given.items()}
        swap = {was.encode(): new.encode() for was, new in news.items()}
        for path, digest in now.items():
            if not swap.keys().isdisjoint(_told(path, digest)) and _rewritten(path, swap):
                touched.add(path)
                now[path] = sha256(path)
    return len(touched)


TOLD: dict[str, set[bytes]] = {}


def _told(path: Path, digest: str) -> set[bytes]:
    """Return the hashes in a file. Most files of a run are those of another test's: each is searched once."""
    if digest not in TOLD:
        if path.suffix == ".parquet":
            known = "record_sha256" in pq.read_schema(path).names
            text = " ".join(pd.read_parquet(path)["record_sha256"].dropna()).encode() if known else b""
        else:
            text = path.read_bytes() if path.suffix in TEXT else b""
        TOLD[digest] = set(HASH.findall(text))
    return TOLD[digest]


def _rewritten(path: Path, swap: dict[bytes, bytes]) -> bool:
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
        after = [
            _swapped((text or "").encode(), swap).decode() or None
            for text in frame["record_sha256"].fillna("")
        ]
        if list(frame["record_sha256"].fillna("")) == [text or "" for text in after]:
            return False
        frame["record_sha256"] = pd.array(after, dtype="string")
        frame.to_parquet(path, index=False)
        return True
    before = path.read_bytes() if path.suffix in TEXT else b""
    after = _swapped(before, swap)
    if after == before:
        return False
    if path.suffix == ".json":
        # Written in its own place, since to write a whole file with indents takes long.
        body = json.loads(after)
        was, now = _seals(body), _seals(_resealed(body))
        after = _swapped(after, {a.encode(): b.encode() for a, b in zip(was, now, strict=True)})
    path.write_bytes(after)
    return True


def _swapped(text: bytes, swap: dict[bytes, bytes]) -> bytes:
    return HASH.sub(lambda match: swap.get(match[0], match[0]), text)


def _seals(body: dict) -> list[str]:
    """Return the hashes that a file tells of itself."""
    entries = (body.get("provenance") or {}).get("outputs") or []
    told = [*(entry.get("content_sha256") for entry in entries), body.get("self_sha256")]
    return [digest for digest in told if digest]


def _resealed(body: dict) -> dict:
    for entry in (body.get("provenance") or {}).get("outputs") or []:
        if "content_sha256" in entry:
            entry["content_sha256"] = content(body)
    if "self_sha256" in body:
        body["self_sha256"] = self_hash(body)
    return body


def rebuild(folder: Path, but: tuple[str, ...] = ()) -> None:
    """Make everything above the records of the run in `folder`/results anew, as its rules would.

    but: scripts whose files are not needed.
    """
    with contextlib.chdir(folder), pytest.MonkeyPatch.context() as patch:
        # The list of jobs is collected from the sidecars that these scripts write.
        patch.setattr(remake, "unrecorded", contextlib.nullcontext)
        run = Run(Path("results"), "rebuilt")
        for stage in remake.stages(run):
            wanted = stage.script not in ("record_study", "describe_run", *but)
            if wanted and any(map(run.has, stage.outputs)):
                wrong = remake.run_script(stage.script, stage.words)
                assert wrong is None, f"{stage.script}: {wrong}"
