"""Where a result came from: enough to run its rule again and to see whether anything beneath it has changed."""

from __future__ import annotations

import datetime
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from pardec.common.closure import closure, digest
from pardec.common.errors import UserError
from pardec.common.files import read_json, sha256

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package, its scripts and the Snakefile."""


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def provenance(
    argv: Sequence[str],
    start: str,
    inputs: Iterable[str | Path],
    modules: Iterable[str] = (),
    wildcards: dict[str, str] | None = None,
    params: dict | None = None,
    seed: int | None = None,
    machine: str | Path | None = None,
) -> dict:
    """The provenance block of one result.

    argv: the script and its arguments. start: `now()` at its beginning. inputs: files it read. modules: project
    modules it loaded by name. machine: the machine's description, whose facts are copied.
    """
    script = Path(argv[0]).resolve()
    if not script.is_relative_to(ROOT):
        raise UserError(
            script,
            f"runs the code of {ROOT}, not that beside it",
            "run `pip install -e .` here, or set PYTHONPATH",
        )
    relative = script.relative_to(ROOT).as_posix()
    files = closure(ROOT, relative, modules)
    return {
        "rule": script.stem,
        "wildcards": wildcards or {},
        "params": params or {},
        "command": shlex.join(["python", relative, *map(str, argv[1:])]),
        "inputs": [{"path": str(path), "sha256": sha256(path)} for path in sorted(map(str, inputs))],
        "code_sha256": digest(ROOT, files),
        "code": files,
        "git": git_state(ROOT),
        "environment": {"python": platform.python_version(), "executable": Path(sys.executable).name},
        "machine": machine_digest(machine),
        "start": start,
        "end": now(),
        "seed": seed,
    }


def checkpoint_files(folder: str | Path) -> list[Path]:
    """The files of a checkpoint that decide what it computes: not how long its training took."""
    kept = [path for path in Path(folder).iterdir() if path.suffix == ".safetensors"]
    named = [
        Path(folder) / name for name in ("config.json", "tokenizer.json", "model.safetensors.index.json")
    ]
    return sorted([*kept, *(path for path in named if path.exists())])


def git_state(root: Path) -> dict:
    """Commit and whether tracked files differ from it; nulls outside a checkout."""
    try:
        commit = _git(root, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}


def _git(root: Path, *words: str) -> str:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    return subprocess.run(
        ["git", "-C", str(root), *words], check=True, capture_output=True, text=True, env=environment
    ).stdout.strip()


def machine_digest(path: str | Path | None) -> dict | None:
    """The facts of the machine that a reader of one number wants, from its description; packages stay there."""
    if path is None:
        return None
    facts = read_json(path)
    kept = (
        "device",
        "cpu",
        "cores",
        "memory_gb",
        "system",
        "governor",
        "container",
        "python",
        "torch",
        "gpu",
    )
    return {key: facts[key] for key in kept if facts.get(key) is not None} | {"sha256": sha256(path)}
