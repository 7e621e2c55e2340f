"""One process per cell without the cost of imports each time.

A timing job is a separate process; importing torch takes most of its time, and most of the time of an untimed job
that decodes or scores a few prompts. The first job leaves behind a small server that has imported torch and similar
libraries, and nothing of this project, before any thread or CUDA context exists. Each later job sends the server its
command line, folder, environment and standard streams over a local socket (`pardec.measure.handover`); the server forks
a fresh child that runs the script from the start, so project code is always read from disk. The server ends when idle,
kills a child whose client is gone, and refuses to fork once its process has threads or CUDA.
"""

from __future__ import annotations

import array
import contextlib
import marshal
import os
import select
import signal
import socket
import sys
import time
from pathlib import Path

IDLE_S = 60.0
"""Seconds after which an idle server ends: longer than any gap between cells."""
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
        request = _read_request(connection)
    except (OSError, ValueError, EOFError, TypeError):
        connection.close()
        return
    if request is None or len(streams) != 3 or not safe_to_fork():
        for stream in streams:
            os.close(stream)
        with contextlib.suppress(OSError):
            connection.sendall(b"refused\n")
        connection.close()
        return
    with contextlib.suppress(OSError):
        connection.sendall(b"accepted\n")
    pid = os.fork()
    if pid == 0:
        listener.close()
        _child(request, streams)
    for stream in streams:
        os.close(stream)
    children[pid] = connection


def _read_request(connection: socket.socket) -> dict | None:
    """Return what a client sent; None if it has gone."""
    with connection.makefile("rb") as stream:
        size = int.from_bytes(stream.read(8), "big")
        data = stream.read(size)
    return marshal.loads(data) if len(data) == size > 0 else None


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
        os._exit(request["unfit"])
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
        os.environ.update(request["env"])
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
            connection.sendall(b"%d\n" % (code if code >= 0 else 128 - code))
        connection.close()


if __name__ == "__main__":
    serve(Path(sys.argv[1]), KINDS[sys.argv[2]])
