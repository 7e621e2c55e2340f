"""One process per cell without the cost of imports each time.

A timing job is a separate process; importing torch takes most of its time, and most of the time of an untimed job
that decodes or scores a few prompts. The first job leaves behind a small server that has imported torch and similar
libraries, and nothing of this project, before any thread or CUDA context exists. Each later job sends the server its
command line, folder, environment and standard streams over a local socket; the server forks a fresh child that runs
the script from the start, so project code is always read from disk. The server ends when idle, kills a child whose
client is gone, and refuses to fork once its process has threads or CUDA.

Scripts call `hand_over()` only; `run(argv)` returns the exit status, or None without a server; the caller then runs
in its own process. There is a server for models, one for tables and figures, and one for training: a timed child must
not begin with the memory of libraries that it does not use, and the allocator's settings are those of the server.
"""

from __future__ import annotations

import array
import contextlib
import hashlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

IDLE_S = 60.0
"""Seconds after which an idle server ends: longer than any gap between cells."""
START_S = 30.0
KILL_S = 10.0
"""Seconds to wait for a killed child to end."""
PRELOAD = (
    "torch",
    "torch.utils.flop_counter",
    "numpy",
    "safetensors.torch",
    "tokenizers",
    "pydantic.main",
    "pydantic.fields",
    "pydantic.types",
    "zoneinfo",
    "transformers.models.llama.modeling_llama",
    "scipy.stats",
)
"""None of this project: such a module could be stale when a child runs it. Those that a package imports at first use
are named one by one."""
TABLES = (
    "numpy",
    "pandas",
    "pandera.pandas",
    "pandera.strategies.pandas_strategies",
    "pyarrow.parquet",
    "scipy.stats",
    "pydantic.main",
    "pydantic.fields",
    "pydantic.types",
    "yaml",
    "jinja2",
    "matplotlib.figure",
    "matplotlib.backends.backend_agg",
    "matplotlib.backends.backend_svg",
    "zoneinfo",
)
TRAINING = (
    "torch",
    "torch._dynamo",  # which the first optimiser imports
    "numpy",
    "safetensors.torch",
    "tokenizers",
    "pydantic.main",
    "pydantic.fields",
    "pydantic.types",
    "zoneinfo",
)
KINDS = {"models": PRELOAD, "tables": TABLES, "training": TRAINING}
"""Kinds of servers, and what each has loaded."""
SINGLE = {
    **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""Environment of the server, whatever a job was given: a thread that starts with an import would forbid forking. A
child sets its own number of torch threads."""
LAUNCH = "PARDEC_LAUNCH"
"""Set in a child to "forked", so that the record can say how it was started."""
UNFIT = 250
"""Exit status of a child that cannot use CUDA, since its parent has touched the driver; it has run nothing."""


GONE = "gone"


def address(kind: str = "models") -> Path:
    """Return the socket of this user, interpreter, set of installed packages and kind, in a folder only this user can
    enter.

    Raises:
        PermissionError: the folder belongs to another user.
    """
    import sysconfig

    packages = Path(sysconfig.get_paths()["purelib"])
    stamp = f"{sys.executable}|{sys.version}|{packages}|{packages.stat().st_mtime_ns}|{Path(__file__).read_bytes()!r}"
    # A batch system ends a job with all that it started and fences its devices: each of its jobs has its own server.
    stamp += f"|{os.environ.get('SLURM_JOB_ID', '')}"
    # A server imports from its own path, and so do its children.
    stamp += f"|{os.environ.get('PYTHONPATH', '')}"
    folder = Path(tempfile.gettempdir()) / f"pardec-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")
    folder.chmod(0o700)
    return folder / f"fork-{kind}-{hashlib.sha256(stamp.encode()).hexdigest()[:16]}.sock"


def run(argv: list[str], limit_s: float | None = None, kind: str = "models") -> int | None:
    """Run `argv` (script and arguments) in a forked child of the server; return the exit status, 128 plus the signal's
    number for a child that a signal ended, or None without a server or if its child cannot use CUDA.

    limit_s: seconds after which the child and all processes that it started are killed. kind: one of `KINDS`.

    Raises:
        TimeoutError: the child was killed.
    """
    if not hasattr(os, "fork") or not hasattr(socket, "SCM_RIGHTS"):
        return None
    try:
        path = address(kind)
    except OSError:
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
        request = {"argv": argv, "cwd": os.getcwd(), "env": dict(os.environ), "client": os.getpid()}
        streams = array.array("i", [0, 1, 2])
        try:
            connection.sendmsg([b"r"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, streams)])
            connection.sendall(json.dumps(request).encode() + b"\n")
            answer = _read_line(connection)
        except OSError:
            return GONE
        if not answer:
            return GONE
        if "refused" in answer:
            return None
        try:
            connection.settimeout(limit_s)
            answer = _read_line(connection)
        except TimeoutError:
            # The server treats this as the client's end, kills the child and confirms it: nothing may run beside the
            # next cell.
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(KILL_S)
            with contextlib.suppress(OSError):
                _read_line(connection)
            raise
        status = answer["status"] if answer else 1
        return None if status == UNFIT else status


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX)
    try:
        connection.connect(str(path))
        return connection
    except OSError:
        connection.close()
        return None


def _start(path: Path, kind: str) -> socket.socket | None:
    """Start a detached server under a lock, so that two first jobs do not start two."""
    import fcntl

    with contextlib.suppress(OSError), open(path.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if (connection := _connect(path)) is not None:
            return connection
        subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve()), str(path), kind],
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
    return None


def _read_line(connection: socket.socket) -> dict | None:
    data = b""
    while not data.endswith(b"\n"):
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    return json.loads(data)


def serve(path: Path, preload: tuple[str, ...]) -> None:
    """Run the server: listen, load `preload`, fork a child for each client, end when idle."""
    listener = socket.socket(socket.AF_UNIX)
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
    listener.bind(str(path))
    listener.listen(16)
    for name in preload:
        with contextlib.suppress(ImportError):
            __import__(name)

    # A child's end wakes the loop by a signal: a server that polled would disturb what it serves.
    ended, wake = socket.socketpair()
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)

    inode = path.stat().st_ino
    children: dict[int, socket.socket] = {}
    idle_since = time.monotonic()
    while True:
        ready, _, _ = select.select([listener, ended, *children.values()], [], [], None if children else 1.0)
        for source in ready:
            if source is ended:
                ended.recv(4096)
            elif source is listener:
                _accept(listener, children)
            else:  # the client has nothing more to say: readable means that it is gone
                _kill(next(pid for pid, connection in children.items() if connection is source))
        _reap(children)
        if children:
            idle_since = time.monotonic()
        replaced = not path.exists() or path.stat().st_ino != inode
        if not children and (replaced or time.monotonic() - idle_since > IDLE_S):
            break
    listener.close()
    if not replaced:
        path.unlink(missing_ok=True)


def _accept(listener: socket.socket, children: dict[int, socket.socket]) -> None:
    connection, _ = listener.accept()
    connection.settimeout(5)
    try:
        _, control, _, _ = connection.recvmsg(1, socket.CMSG_SPACE(3 * array.array("i").itemsize))
        streams = array.array("i")
        for _, _, data in control:
            streams.frombytes(data)
        request = _read_line(connection)
    except (OSError, ValueError):
        connection.close()
        return
    if request is None or len(streams) != 3 or not safe_to_fork():
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            connection.sendall(b'{"refused": true}\n')
        connection.close()
        return
    with contextlib.suppress(OSError):
        connection.sendall(b'{"accepted": true}\n')
    pid = os.fork()
    if pid == 0:
        listener.close()
        _child(request, streams)
    for stream in streams:
        os.close(stream)
    children[pid] = connection


def safe_to_fork() -> bool:
    """Return true while this process has one thread and no CUDA context."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        return False
    try:
        return len(os.listdir("/proc/self/task")) == 1
    except OSError:
        import threading

        return threading.active_count() == 1


def cuda_is_lost() -> bool:
    """Return true in a forked child whose parent has touched the CUDA driver, with a context or without one."""
    torch = sys.modules.get("torch")
    return torch is not None and torch.cuda._is_in_bad_fork()


def _child(request: dict, streams: array.array) -> None:
    """Take over the client's command line, folder, environment and streams, run its script, and leave."""
    import runpy

    status = 1
    if cuda_is_lost():
        os._exit(UNFIT)
    try:
        os.setpgid(0, 0)
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for target, stream in enumerate(streams):
            os.dup2(stream, target)
            os.close(stream)
        sys.stdin, sys.stdout, sys.stderr = (
            os.fdopen(number, mode, closefd=False) for number, mode in ((0, "r"), (1, "w"), (2, "w"))
        )
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"], **{LAUNCH: "forked"})
        sys.argv = request["argv"]
        sys.path[0:0] = [
            folder for folder in request["env"].get("PYTHONPATH", "").split(os.pathsep) if folder
        ]
        if "PYTHONSAFEPATH" not in request["env"]:  # first of all, as Python itself puts it
            sys.path.insert(0, str(Path(sys.argv[0]).resolve().parent))
        try:
            runpy.run_path(sys.argv[0], run_name="__main__")
            status = 0
        except SystemExit as leave:
            status = leave.code if isinstance(leave.code, int) else (0 if leave.code is None else 1)
            if isinstance(leave.code, str):
                print(leave.code, file=sys.stderr)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


def _reap(children: dict[int, socket.socket]) -> None:
    for pid in list(children):
        done, status = os.waitpid(pid, os.WNOHANG)
        if not done:
            continue
        connection = children.pop(pid)
        code = os.waitstatus_to_exitcode(status)
        with contextlib.suppress(OSError):
            connection.sendall(json.dumps({"status": code if code >= 0 else 128 - code}).encode() + b"\n")
        connection.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), KINDS[sys.argv[2]])
