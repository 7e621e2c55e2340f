"""The C++ compiler of this machine, and libraries that it builds once."""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
from pathlib import Path

from pardec.common.files import atomic
from pardec.common.home import user_cache

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-O3", "-std=c++17", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-fopenmp")


def cpp_compiler(engine: str) -> list[str]:
    """Return the command of a C++ compiler: the one that CXX names, options included, else the first that there is.

    Raises:
        NotImplementedError: there is none; names the `engine` that needs it.
    """
    named = os.environ.get("CXX")
    for command in [shlex.split(named)] if named else [[name] for name in COMPILERS]:
        path = shutil.which(command[0])
        if path is not None:
            return [path, *command[1:]]
    raise NotImplementedError(
        f"engine {engine}: no C++ compiler here (looked for {named or ', '.join(COMPILERS)})"
    )


def library(source: str, engine: str) -> ctypes.CDLL:
    """Return the library compiled of C++ `source` for this processor, from the cache if it was compiled before.

    Raises:
        NotImplementedError: there is no compiler, it refuses the source, or what it made cannot be loaded; ends with
            its message.
    """
    compiler = cpp_compiler(engine)
    made_of = "\0".join([source, *compiler, version(compiler[0]), *FLAGS, processor()])
    path = user_cache("kernels") / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.so"
    with contextlib.suppress(OSError):  # there is none, or it cannot be loaded: it is made again
        return ctypes.CDLL(str(path))
    with atomic(path) as made:
        command = [*compiler, *FLAGS, "-x", "c++", "-", "-o", str(made)]
        done = subprocess.run(command, input=source, capture_output=True, text=True)
        if done.returncode:
            said = done.stderr[-1000:].strip() or f"it exited with {done.returncode}"
            raise NotImplementedError(f"engine {engine}: {shlex.join(compiler)} failed: {said}")
        try:
            return ctypes.CDLL(str(made))
        except OSError as error:
            raise NotImplementedError(
                f"engine {engine}: what {shlex.join(compiler)} made cannot be loaded ({error}); a folder of another "
                "file system: XDG_CACHE_HOME"
            ) from None


def version(compiler: str) -> str:
    """Return what tells versions of a compiler apart: its file's place, size and time."""
    file = Path(compiler).resolve()
    return f"{file} {file.stat().st_size} {file.stat().st_mtime_ns}"


def processor() -> str:
    """Return what tells processors apart for which code is compiled: a home folder may be shared by several."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    told = (line for line in lines if line.startswith(("flags", "Features", "model")))
    return "\n".join([platform.machine(), *dict.fromkeys(told)])
