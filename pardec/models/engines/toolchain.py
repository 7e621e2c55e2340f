"""The C++ compiler of this machine, and libraries that it builds once."""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
from pathlib import Path

from pardec.common.files import atomic
from pardec.common.home import user_cache

COMPILERS = ("g++", "clang++", "c++")
FLAGS = ("-O3", "-std=c++17", "-march=native", "-ffp-contract=fast", "-shared", "-fPIC", "-fopenmp")


def cpp_compiler(engine: str) -> str:
    """Return the path of a C++ compiler: the one that CXX names, else the first that there is.

    Raises:
        NotImplementedError: there is none; names the `engine` that needs it.
    """
    named = os.environ.get("CXX")
    for name in [named] if named else COMPILERS:
        path = shutil.which(name)
        if path is not None:
            return path
    raise NotImplementedError(
        f"engine {engine}: no C++ compiler here (looked for {named or ', '.join(COMPILERS)})"
    )


def library(source: str, engine: str) -> ctypes.CDLL:
    """Return the library compiled of C++ `source` for this processor, from the cache if it was compiled before.

    Raises:
        NotImplementedError: there is no compiler, or it refuses the source; ends with its message.
    """
    compiler = cpp_compiler(engine)
    made_of = "\0".join([source, compiler, *FLAGS, processor()])
    path = user_cache("kernels") / f"{hashlib.sha256(made_of.encode()).hexdigest()[:32]}.so"
    if not path.exists():
        with atomic(path) as made:
            command = [compiler, *FLAGS, "-x", "c++", "-", "-o", str(made)]
            done = subprocess.run(command, input=source, capture_output=True, text=True)
            if done.returncode:
                raise NotImplementedError(f"engine {engine}: {compiler} failed: {done.stderr[-1000:]}")
    return ctypes.CDLL(str(path))


def processor() -> str:
    """Return what tells processors apart for which code is compiled: a home folder may be shared by several."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    told = (line for line in lines if line.startswith(("flags", "Features", "model")))
    return "\n".join([platform.machine(), *dict.fromkeys(told)])
