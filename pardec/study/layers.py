"""Read a study's files, resolve what they include, and lay them over one another; find a key's file and line.

A file that has the key `include` is a study of its own: the files it names lie beneath it, in their order. A file
without that key is a change to the default study, config.yaml, which then lies beneath it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pardec.common.errors import UserError

INCLUDE = "include"
DEFAULT = "config.yaml"
Source = str | Path | Mapping[str, Any]
"""A file, or the values of the command line."""
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, where libyaml is there


def read_study(root: str | Path, configfiles: Sequence[str | Path] = ()) -> tuple[dict[str, Any], list[str]]:
    """Return a study's merged configuration and its files, the weakest first, relative to the working directory.

    root: the folder of the default study. configfiles: files in the order given, the strongest last.

    Raises:
        UserError: a file is missing, is no YAML mapping, or includes itself.
    """
    bodies: dict[str, dict[str, Any]] = {}
    alone = False
    for path in configfiles:
        alone |= _gather(path, bodies)
    if not alone:
        below: dict[str, dict[str, Any]] = {}
        _gather(Path(root) / DEFAULT, below)
        bodies = {**below, **bodies}
    config: dict[str, Any] = {}
    for body in bodies.values():
        config = lay_over(config, body)
    config.pop(INCLUDE, None)
    return config, list(bodies)


def _gather(path: str | Path, bodies: dict[str, dict[str, Any]], parents: tuple[str, ...] = ()) -> bool:
    """Add `path` to `bodies` after the files that it includes, each once. Returns whether it has the key `include`."""
    path = _short(path)
    body = _read(path)
    listed = body.get(INCLUDE, [])
    where = place([INCLUDE], [path])
    if not (isinstance(listed, list) and all(isinstance(name, str) for name in listed)):
        raise UserError(where, f"is {listed!r}", "list files, relative to this one: [base/models.yaml]")
    for name in listed:
        below = _short(Path(path).parent / name)
        if below in (path, *parents):
            raise UserError(where, f"{below} includes itself", "break the circle")
        if not os.path.isfile(below):
            raise UserError(where, f"{below} does not exist", "correct the path; it is relative to this file")
        _gather(below, bodies, (*parents, path))
    bodies.setdefault(path, body)
    return INCLUDE in body


def _short(path: str | Path) -> str:
    """Return the path, relative to the working directory if it lies below it."""
    full = os.path.abspath(path)
    short = os.path.relpath(full)
    return full if short.startswith(os.pardir + os.sep) else short


def _read(path: str | Path) -> dict[str, Any]:
    """Return a study file's content.

    Raises:
        UserError: it is missing or is no YAML mapping.
    """
    try:
        body = yaml.load(Path(path).read_text(encoding="utf-8"), LOADER)
    except FileNotFoundError:
        raise UserError(path, "does not exist", "correct the path") from None
    except (yaml.YAMLError, ValueError, RecursionError, IsADirectoryError) as error:
        raise UserError(path, f"is not a YAML file ({error})", "correct the file") from None
    if not isinstance(body, dict):
        raise UserError(path, "contains no keys", "write `key: value` lines")
    return body


def lay_over(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` overlaid by `over`: mappings merge, other values are replaced."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        if isinstance(below, Mapping) and isinstance(value, Mapping):
            value = lay_over(below, value)
        merged[key] = value
    return merged


def place(path: list[str], files: Iterable[Source], shown: str | None = None) -> str:
    """Return `file:line: key.path` of the strongest source with the key, else of the deepest partial match."""
    shown = shown or ".".join(path) or "study"
    best: tuple[int, str] | None = None
    for file in files:
        if isinstance(file, Mapping):
            if _has(file, path):
                return f"--config: {shown}"
            continue
        depth, line = find(file, path)
        if depth and (best is None or depth >= best[0]):
            best = (depth, f"{file}:{line}")
    if best is None:
        return f"config: {shown}"
    return f"{best[1]}: {shown}"


def compose(file: str | Path) -> Any:
    """Return the nodes of a YAML file, with their lines; None if it cannot be read."""
    try:
        return yaml.compose(Path(file).read_text(encoding="utf-8"), LOADER)
    except (OSError, ValueError, RecursionError, yaml.YAMLError):
        return None


def _has(config: Any, path: list[str]) -> bool:
    """Return whether `config`, the values of the command line, reaches `path` or a scalar on the way to it."""
    for step in path:
        if isinstance(config, Mapping) and step in config:
            config = config[step]
        elif isinstance(config, list) and step.isdigit() and int(step) < len(config):
            config = config[int(step)]
        else:
            return not isinstance(config, (Mapping, list))
    return True


def find(file: str | Path, path: list[str]) -> tuple[int, int]:
    """Return how many steps of `path` a YAML file has, and the line of the last of them."""
    node = compose(file)
    depth, line = 0, 1
    for step in path:
        if isinstance(node, yaml.MappingNode):
            pair = next((pair for pair in node.value if pair[0].value == step), None)
            if pair is None:
                break
            line, node = pair[0].start_mark.line + 1, pair[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit() and int(step) < len(node.value):
            node = node.value[int(step)]
            line = node.start_mark.line + 1
        else:
            break
        depth += 1
    return depth, line
