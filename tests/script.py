"""The project's scripts, run as programs within the process of the tests."""

from __future__ import annotations

import contextlib
import io
import runpy
import subprocess
from pathlib import Path

import pytest

from pardec.measure.handover import LAUNCH

ROOT = Path(__file__).parents[1]


def run_script(name: str, *words: object, folder: Path = ROOT) -> subprocess.CompletedProcess:
    """Run `scripts/NAME.py` in `folder` as its own program would run; an error that it does not catch is raised here.

    It hands its work to no other process. What one of its own costs is the import of torch and pandas, which this one
    has imported."""
    script, out, err, code = str(ROOT / "scripts" / f"{name}.py"), io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv(LAUNCH, "fresh")
        patch.setattr("sys.argv", [script, *map(str, words)])
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            try:
                runpy.run_path(script, run_name="__main__")
            except SystemExit as end:
                code = end.code or 0
    return subprocess.CompletedProcess([script, *words], code, out.getvalue(), err.getvalue())
