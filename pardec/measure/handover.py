"""The client of `pardec.measure.forkserver`: run a command line in a forked child that has its libraries loaded.

Every job begins here, so this imports the least that it can: what a job's own imports cost, hundreds of jobs pay.

Scripts call `hand_over()` before their other imports; `run(argv)` returns the exit status, or None without a server;
the caller then runs in its own process. There is a server for models, one for tables and figures, and one for
training: a timed child must not begin with the memory of libraries that it does not use, and the allocator's settings
are those of the server.
"""

from __future__ import annotations

import array
import marshal
import os
import socket
import sys

START_S = 30.0
KILL_S = 10.0
"""Seconds to wait for a killed child to end."""
LAUNCH = "PARDEC_LAUNCH"
"""Set in a child to "forked", so that the record can say how it was started."""
UNFIT = 250
"""Exit status of a child that cannot use CUDA, since its parent has touched the driver; it has run nothing."""
GONE = "gone"
LONGEST = 103
"""Bytes of a socket's path that every system takes; where the temporary folder's is longer, there is no server."""
SERVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "forkserver.py")


def address(kind: str = "models") -> str:
    """Return the socket of this user, interpreter, set of installed packages and kind, in a folder only this user can
    enter.

    Raises:
        PermissionError: the folder belongs to another user.
    """
    import site
    import zlib

    packages = site.getsitepackages()[0]
    with open(SERVER, "rb") as file:
        stamp = f"{sys.executable}|{sys.version}|{packages}|{os.stat(packages).st_mtime_ns}|{file.read()!r}"
    # A batch system ends a job with all that it started and fences its devices: each of its jobs has its own server.
    stamp += f"|{os.environ.get('SLURM_JOB_ID', '')}"
    # A server imports from its own path, and so do its children.
    stamp += f"|{os.environ.get('PYTHONPATH', '')}"
    folder = os.path.join(temporary(), f"pardec-{os.getuid()}")
    os.makedirs(folder, mode=0o700, exist_ok=True)
    if os.stat(folder).st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    os.chmod(folder, 0o700)
    named = os.fsencode(stamp)
    # Two checksums tell servers apart as well as a hash does, whose library takes longer to load.
    return os.path.join(folder, f"fork-{kind}-{zlib.crc32(named):08x}{zlib.adler32(named):08x}.sock")


def temporary() -> str:
    """Return the folder that `tempfile.gettempdir` would return where it can be written to."""
    for name in (*(os.environ.get(name) for name in ("TMPDIR", "TEMP", "TMP")), "/tmp"):
        if name and os.path.isdir(name) and os.access(name, os.W_OK | os.X_OK):
            return os.path.abspath(name)
    from tempfile import gettempdir

    return gettempdir()


def run(argv: list[str], limit_s: float | None = None, kind: str = "models") -> int | None:
    """Run `argv` (script and arguments) in a forked child of the server; return the exit status, 128 plus the signal's
    number for a child that a signal ended, or None without a server or if its child cannot use CUDA.

    limit_s: seconds after which the child and all processes that it started are killed. kind: one of those of
    `pardec.measure.forkserver`.

    Raises:
        TimeoutError: the child was killed.
    """
    if not hasattr(os, "fork") or not hasattr(socket, "SCM_RIGHTS"):
        return None
    try:
        path = address(kind)
    except OSError:
        return None
    if len(os.fsencode(path)) > LONGEST:
        return None
    for _ in range(2):  # a server may end, idle, in the moment it is asked; the next one will not
        connection = _connect(path) or _start(path, kind)
        if connection is None:
            return None
        status = _ask(connection, argv, limit_s)
        if not isinstance(status, str):  # GONE
            return status
    return None


def hand_over(kind: str = "models") -> None:
    """Exit with the status of a forked child that ran this process's command line; return if this process must run it
    itself: inside such a child, or without a server."""
    if LAUNCH not in os.environ:
        status = run(sys.argv, kind=kind)
        if status is not None:
            sys.exit(status)


def _ask(connection: socket.socket, argv: list[str], limit_s: float | None) -> int | str | None:
    """Return the child's exit status; None if the server refuses to fork, GONE if it ended before it answered."""
    with connection:
        environment = {**os.environ, LAUNCH: "forked"}
        request = marshal.dumps({"argv": argv, "cwd": os.getcwd(), "env": environment, "unfit": UNFIT})
        streams = array.array("i", [0, 1, 2])
        try:
            connection.sendmsg([b"r"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
            connection.sendall(len(request).to_bytes(8, "big") + request)
            answer = _read_line(connection)
        except OSError:
            return GONE
        if answer != "accepted":
            return None if answer == "refused" else GONE
        try:
            connection.settimeout(limit_s)
            answer = _read_line(connection)
        except TimeoutError:
            # The server treats this as the client's end, kills the child and confirms it: nothing may run beside the
            # next cell.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(KILL_S)
            from contextlib import suppress

            with suppress(OSError):
                _read_line(connection)
            raise
        status = int(answer) if answer else 1
        return None if status == UNFIT else status


def _read_line(connection: socket.socket) -> str:
    """Return one line without its end; an empty one if the other side has gone."""
    data = b""
    while not data.endswith(b"\n"):
        chunk = connection.recv(4096)
        if not chunk:
            return ""
        data += chunk
    return data[:-1].decode()


def _connect(path: str) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(path)
        return connection
    except OSError:
        connection.close()
        return None


def _start(path: str, kind: str) -> socket.socket | None:
    """Start a detached server under a lock, so that two first jobs do not start two."""
    import fcntl
    import subprocess
    import time

    from pardec.measure.forkserver import SINGLE

    try:
        with open(os.path.splitext(path)[0] + ".lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if (connection := _connect(path)) is not None:
                return connection
            subprocess.Popen(
                [sys.executable, "-P", SERVER, path, kind],
                cwd="/",  # it outlives the folder's run, and must not keep its file system busy
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
                # Detecting a GPU by NVML leaves the driver untouched; a forked child could not use a touched one.
                env={**os.environ, **SINGLE, "PYTORCH_NVML_BASED_CUDA_CHECK": "1"},
            )
            end = time.monotonic() + START_S
            while time.monotonic() < end:
                if (connection := _connect(path)) is not None:
                    return connection
                time.sleep(0.02)
    except OSError:
        pass
    return None
