"""Hashes of the user's files: made anew when anything wrote the file, and only then."""

import os
import time

import pytest

from pardec.common import contents
from pardec.common.contents import Contents
from pardec.common.files import sha256


@pytest.fixture
def reads(monkeypatch):
    """Return paths that were really read."""
    done = []
    monkeypatch.setattr(contents, "sha256", lambda path: done.append(path) or sha256(path))
    monkeypatch.setattr(contents, "SETTLED_S", 0.0)
    return done


def test_a_file_is_read_once_by_all_processes_together(tmp_path, reads):
    (tmp_path / "weights").write_bytes(b"one")
    first = Contents(tmp_path / "memory.json").digest([tmp_path / "weights"])
    assert Contents(tmp_path / "memory.json").digest([tmp_path / "weights"]) == first
    assert reads == [tmp_path / "weights"]


@pytest.mark.parametrize("how", ["in place", "through a hard link", "anew with the old times"])
def test_other_bytes_of_the_same_size_are_seen(tmp_path, reads, how):
    path = tmp_path / "weights"
    path.write_bytes(b"one")
    times = path.stat().st_mtime_ns
    first = Contents(tmp_path / "memory.json").digest([path])
    time.sleep(0.05)  # longer than a tick of the file system's clock
    if how == "through a hard link":
        os.link(path, tmp_path / "other")
        (tmp_path / "other").write_bytes(b"two")
    else:
        path.write_bytes(b"two")
    if how == "anew with the old times":
        os.utime(path, ns=(times, times))
    assert Contents(tmp_path / "memory.json").digest([path]) != first


def test_a_file_just_written_is_read_each_time(tmp_path, reads, monkeypatch):
    monkeypatch.setattr(contents, "SETTLED_S", 60.0)
    (tmp_path / "weights").write_bytes(b"one")
    kept = Contents(tmp_path / "memory.json")
    kept.digest([tmp_path / "weights"])
    kept.digest([tmp_path / "weights"])
    assert len(reads) == 2


def test_the_name_counts_and_the_folder_does_not(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "x").write_bytes(b"one")
    (tmp_path / "a" / "y").write_bytes(b"one")
    kept = Contents(tmp_path / "memory.json")
    assert (
        kept.digest([tmp_path / "a/x"]) == kept.digest([tmp_path / "b/x"]) != kept.digest([tmp_path / "a/y"])
    )
