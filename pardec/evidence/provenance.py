"""Where a result came from: enough to run its rule again and to see whether anything beneath it has changed."""

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
from pardec.common.files import sha256, write_json

ROOT = Path(__file__).resolve().parents[2]
"""The folder that holds the package, its scripts and the Snakefile."""


def now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


_RECORDED = ContextVar("recorded", default=True)


@contextlib.contextmanager
def unrecorded() -> Iterator[None]:
    """Within: blocks are empty, since what is made is only compared and thrown away."""
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
    """The provenance block of one result.

    argv: the script and its arguments. start: `now()` at its beginning. inputs: files it read. modules: project
    modules it loaded by name. params: by default the flags of `argv`. rule: by default the
    script's name. outputs: files it has written; a block that lies inside its own file states that file by `sealed`.
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
    """Where the provenance of a file that cannot hold its own lies: `<name>.provenance.json` beside it."""
    return Path(path).with_suffix(".provenance.json")


def write_sidecar(
    paths: Sequence[str | Path], argv: Sequence[str], begin: str, inputs: Iterable[str | Path], **facts: Any
) -> None:
    """Write beside the first of `paths` where all of them came from.

    paths: files this script has just written. argv, begin, inputs, more: see `provenance`.
    """
    write_json(sidecar(paths[0]), signed(provenance(argv, begin, inputs, outputs=paths, **facts)))


def signed(block: dict[str, Any]) -> dict[str, Any]:
    """`block` with the hash of all the rest of it, since nothing above the last sidecar of a run tells its hash."""
    return {**block, "self_sha256": self_hash(block)}


def self_hash(block: dict[str, Any]) -> str:
    """SHA-256 of a sidecar's block without `self_sha256`, as `content` takes it."""
    return content({key: value for key, value in block.items() if key != "self_sha256"})


def sealed(path: str | Path, body: dict[str, Any]) -> dict[str, Any]:
    """`body` with its own file among the outputs of the provenance it holds.

    A file cannot hold its own hash: `content_sha256` is that of everything in it but `provenance`, see `content`.
    """
    origin = {**body["provenance"], "outputs": [{"path": str(path), "content_sha256": content(body)}]}
    return {**body, "provenance": origin}


def content(body: dict[str, Any]) -> str:
    """SHA-256 of `body` without its provenance, as JSON with sorted keys and no spaces; a file keeps it."""
    rest = {key: value for key, value in body.items() if key != "provenance"}
    plain = json.loads(json.dumps(rest))
    return hashlib.sha256(json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def hashed(paths: Iterable[str | Path]) -> list[dict[str, str]]:
    """Each file once, with its SHA-256, in order of paths; below the working directory they are relative to it."""
    here = Path.cwd()
    plain = {str(path.relative_to(here) if path.is_relative_to(here) else path) for path in map(Path, paths)}
    return [{"path": path, "sha256": sha256(path)} for path in sorted(plain)]


def flags(words: Sequence[str]) -> dict[str, Any]:
    """Arguments as {name: value}: a list where several follow one flag; JSON objects and lists are read."""
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
"""Files beside the weights that decide the tokens of a prompt, the text of an output, or where it ends."""


def checkpoint_files(folder: str | Path) -> list[Path]:
    """The files of a checkpoint that decide what it computes: not how long its training took."""
    kept = [path for path in Path(folder).iterdir() if path.suffix == ".safetensors"]
    named = [Path(folder) / name for name in CHECKPOINT]
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
