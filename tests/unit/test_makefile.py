"""`make paper` leaves the finished run of another study in results/ alone."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pardec.common.files import write_json

MAKEFILE = Path(__file__).parents[2] / "Makefile"


def make_paper(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    stub = folder / ".venv/bin/snakemake"
    stub.parent.mkdir(parents=True, exist_ok=True)
    stub.write_text('#!/bin/sh\necho "ran $*"\n')
    stub.chmod(0o755)
    command = ["make", "-f", str(MAKEFILE), "-o", "env", "paper", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60)


@pytest.mark.skipif(shutil.which("make") is None, reason="no make here")
@pytest.mark.parametrize(
    ("study", "finished", "words", "refused"),
    [
        (None, False, (), False),
        ("paper", True, (), False),
        ("embedded", False, (), False),
        ("embedded", True, (), True),
        ("embedded", True, ("REPLACE=1",), False),
    ],
)
def test_the_finished_run_of_another_study_is_not_replaced(tmp_path, study, finished, words, refused):
    if study:
        write_json(
            tmp_path / "results/study.json", {"name": study, "title": "x", "arms": {"a": {"name": "b"}}}
        )
    if finished:
        (tmp_path / "results/report.html").touch()
    done = make_paper(tmp_path, *words)
    assert (done.returncode != 0) == refused
    assert ("ran " in done.stdout) == (not refused)
    if refused:
        assert "finished run of study embedded" in done.stdout and "pardec archive results" in done.stdout
