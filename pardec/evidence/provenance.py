"""Provenance of results: enough to rerun the rule and to detect changed inputs or code."""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shlex
import subprocess
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from pardec.common import host
from pardec.common.closure import closure, digest
from pardec.common.errors import UserError
from pardec.common.files import sha256

ROOT = Path(__file__).resolve().parents[2]
"""Folder of the package, its scripts and the Snakefile."""


def now() -> str:
    """Return the time in UTC, ISO 8601 with milliseconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


_RECORDED = ContextVar("recorded", default=True)


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Make provenance blocks empty within this context: its outputs are only compared, then deleted."""
    token = _RECORDED.set(False)
    try:
        yield
    finally:
        _RECORDED.reset(token)


def provenance(
    argv: Sequence[str],
    start: str,
    inputs: Iterable[str | Path],
    modules: Iterable[str] = (),
    wildcards: dict[str, str] | None = None,
    params: dict | None = None,
    seed: int | None = None,
    rule: str | None = None,
    outputs: Iterable[str | Path] = (),
) -> dict:
    """Return the provenance block of one result; {} within `unrecorded`.

    argv: the script and its arguments. start: `now()` when the script began. inputs: files it read. modules: project
    modules it loaded by name. params: by default the flags of `argv`. rule: by default the script's name. outputs:
    files it wrote; a file that contains its own block is added by `sealed`.

    Raises:
        UserError: the script is outside the project whose code is imported.
    """
    if not _RECORDED.get():
        return {}
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
        "rule": rule or script.stem,
        "wildcards": wildcards or {},
        "params": flags(argv[1:]) if params is None else params,
        "command": shlex.join(["python", relative, *map(str, argv[1:])]),
        "inputs": hashed(inputs),
        "outputs": hashed(outputs),
        "code_sha256": digest(ROOT, files),
        "code": {file: sha256(ROOT / file) for file in files},
        "git": git_state(ROOT),
        "environment": host.environment(),
        "machine": host.host(),
        "start": start,
        "end": now(),
        "seed": seed,
    }


def sidecar(path: str | Path) -> Path:
    """Return the path of a file's provenance sidecar: `<name>.provenance.json` beside it."""
    return Path(path).with_suffix(".provenance.json")


def signed(block: dict[str, Any]) -> dict[str, Any]:
    """Return `block` with its own hash, since no later job records the hash of a run's last sidecar."""
    return {**block, "self_sha256": self_hash(block)}


def self_hash(block: dict[str, Any]) -> str:
    """Return the SHA-256 of a sidecar's block without `self_sha256`, computed as by `content`."""
    return content({key: value for key, value in block.items() if key != "self_sha256"})


def sealed(path: str | Path, body: dict[str, Any]) -> dict[str, Any]:
    """Return `body` with its own file listed in the outputs of its provenance.

    A file cannot contain its own hash, so `content_sha256` covers everything but `provenance`, see `content`.
    """
    origin = {**body["provenance"], "outputs": [{"path": str(path), "content_sha256": content(body)}]}
    return {**body, "provenance": origin}


def content(body: dict[str, Any]) -> str:
    """Return the SHA-256 of `body` without its provenance, as JSON with sorted keys and no spaces."""
    rest = {key: value for key, value in body.items() if key != "provenance"}
    plain = json.loads(json.dumps(rest))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hashed(paths: Iterable[str | Path]) -> list[dict[str, str]]:
    """Return each file once with its SHA-256, sorted by path; paths below the working directory are relative to it."""
    here = Path.cwd()
    plain = {str(path.relative_to(here) if path.is_relative_to(here) else path) for path in map(Path, paths)}
    return [{"path": path, "sha256": sha256(path)} for path in sorted(plain)]


def flags(words: Sequence[str]) -> dict[str, Any]:
    """Return arguments as {name: value}: a list if several follow one flag; JSON objects and lists are parsed."""
    arguments: dict[str, list[Any]] = {}
    for word in map(str, words):
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            arguments.setdefault(name, []).extend([_parsed(value)] if equals else [])
        elif arguments:
            arguments[next(reversed(arguments))].append(_parsed(word))
    return {name: values[0] if len(values) == 1 else values or True for name, values in arguments.items()}


def _parsed(word: str) -> Any:
    try:
        return json.loads(word, parse_constant=str) if word.startswith(("{", "[")) else word
    except json.JSONDecodeError:
        return word


CHECKPOINT = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "vocab.txt",
    "tokenizer.model",
    "chat_template.jinja",
)
"""Files beside the weights that determine a prompt's tokens, an output's text, or its end."""


def checkpoint_files(folder: str | Path) -> list[Path]:
    """Return the files of a checkpoint that determine its results; training logs are left out.

    Raises:
        UserError: no such folder.
    """
    if not Path(folder).is_dir():
        raise UserError(folder, "is not a folder", "give the folder of a model, with config.json in it")
    kept = [path for path in Path(folder).iterdir() if path.suffix == ".safetensors"]
    named = [Path(folder) / name for name in CHECKPOINT]
    return sorted([*kept, *(path for path in named if path.exists())])


def git_state(root: Path) -> dict:
    """Return the commit and whether tracked files differ from it; nulls outside a checkout."""
    command = ["git", "-C", str(root), "status", "--porcelain=v2", "--branch", "--untracked-files=no"]
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    except (OSError, subprocess.CalledProcessError):
        return {"commit": None, "dirty": None}
    lines = done.stdout.splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    # Before its first commit a checkout has the object "(initial)".
    commit = next((commit for commit in commits if commit != "(initial)"), None)
    return {
        "commit": commit,
        "dirty": None if commit is None else any(not line.startswith("#") for line in lines),
    }
