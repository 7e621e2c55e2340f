"""A place for programs that a model wrote, from which they reach nothing: no file, no network, no other process.

The first way that works on this machine is taken: namespaces of Linux, which an ordinary user may make on most systems,
or bubblewrap where it is installed. Each program has its own process, an empty folder in memory, no environment, and
limits on time, memory, processes and file sizes. Where no way works, no program is run.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path

from pardec.common.lazy import lazy

SECONDS = 10
"""Seconds after which a program has failed."""
MEMORY_BYTES = 1 << 30
FILE_BYTES = 1 << 20
PROCESSES = 4
COVERED = ("/home", "/media", "/mnt", "/root", "/run", "/srv", "/sys", "/tmp", "/var")
"""Folders that programs see empty, but for Python itself."""
CONFINED = Path(__file__).with_name("confined.py")
_ = lazy("pardec.quality.confined")  # run as a script, so it is part of the code of a score
WAYS = ("namespaces", "bubblewrap")
NONE = "no sandbox works on this machine: install bubblewrap, or allow users to make namespaces"


@cache
def way() -> str | None:
    """Return how programs are confined on this machine; None where nothing works: then none may be run."""
    return next((name for name in WAYS if _ends("pass", name)), None)


def passes(source: str) -> bool:
    """Return whether the program runs to its end within the limits; one that exits early has failed.

    Raises:
        RuntimeError: nothing on this machine confines it.
    """
    how = way()
    if how is None:
        raise RuntimeError(NONE)
    return _ends(source, how)


def _ends(source: str, how: str) -> bool:
    command = _command(how)
    if command is None:
        return False
    token = secrets.token_hex(16)
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as output:
        given.write(f"{token}\n{source}".encode(errors="surrogatepass"))
        given.seek(0)
        child = subprocess.Popen(
            command,
            cwd="/",
            env={},
            stdin=given,
            stdout=output,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            child.wait(SECONDS)
        except subprocess.TimeoutExpired:
            pass
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and with it the whole namespace
            child.wait()
        output.seek(0)
        return output.read().endswith(token.encode())


def _command(how: str) -> list[str] | None:
    """Return the command that reads a program from standard input; None where its tool is not installed."""
    if not sys.platform.startswith("linux"):
        return None
    # Not the virtual environment's: nothing installed is within reach.
    python = os.path.realpath(sys.executable)
    limits = [str(most) for most in (SECONDS, MEMORY_BYTES, FILE_BYTES, PROCESSES)]
    inner = [python, "-I", str(CONFINED), how, *limits]
    if how == "namespaces":
        return inner
    tool = shutil.which("bwrap")
    if tool is None:
        return None
    inner[2] = "/tmp/confined.py"
    closed = ["--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--ro-bind", "/", "/"]
    covered = [word for path in COVERED if os.path.isdir(path) for word in ("--tmpfs", path)]
    home = os.path.realpath(sys.base_prefix)
    seen = ["--ro-bind", home, home, "--ro-bind", str(CONFINED), inner[2]]
    return [tool, *closed, "--proc", "/proc", "--dev", "/dev", *covered, *seen, "--chdir", "/tmp", *inner]
