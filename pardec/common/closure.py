"""The project files that a script runs: inputs that make its results stale when they change.

A syntax walk over imports, with nested ones, `lazy(...)` and parent packages, without imports for type checkers only.
Modules that a script loads by name through a registry are not in its text; the caller names them.
"""

from __future__ import annotations

import ast
import hashlib
import os
import sys
from collections.abc import Iterable, Iterator
from functools import cache, partial
from pathlib import Path
from typing import Any

from pardec.common.remembered import Remembered

PACKAGE = "pardec"
TYPES = ("returns", "annotation")
"""Fields of a function and of an argument with its type, which has no effect at run time."""
BLOCKS = ("body", "orelse", "finalbody", "handlers", "cases")
"""Fields with statements, or with nodes that contain them: an except clause, a case of a match."""


def closure(root: str | Path, script: str, modules: Iterable[str] = ()) -> list[str]:
    """Return the sorted paths below `root` of `script`, `modules`, and the project modules that they import.

    root: folder of the package. script: path relative to `root`. modules: dotted names loaded at run time.
    """
    root = Path(root)
    files = {script}
    waiting = [*imports(root, script)]
    for module in modules:
        waiting += _files_of(root, module)
    while waiting:
        path = waiting.pop()
        if path not in files:
            files.add(path)
            waiting += imports(root, path)
    if not sys.dont_write_bytecode:
        _remembered(root).save()
    return sorted(files)


_READER = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:12]
"""Hash of this file: another version of it may read other imports from the same source."""


@cache
def imports(root: Path, path: str) -> tuple[str, ...]:
    """Return the project files that the file at `path` imports directly."""
    content = (root / path).read_bytes()
    key = f"{_READER} {hashlib.sha256(content).hexdigest()} {path}"
    names = _remembered(root).get(key, lambda: imported(content, path))
    files = {file for name in names if name.split(".")[0] == PACKAGE for file in _files_of(root, name)}
    return tuple(sorted(files))


@cache
def _remembered(root: Path) -> Remembered:
    """Return the cache of imports and of hashes of statements, stored beside the compiled modules."""
    return Remembered(root / PACKAGE / "__pycache__" / "imports.json")


def imported(content: bytes, path: str) -> list[str]:
    """Return the dotted names that the source of the file at `path` imports; of `from a import b` both a and a.b."""
    names: set[str] = set()
    for node in _statements(ast.parse(content, filename=path)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, path)
            names.add(base)
            names.update(f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(call := getattr(node, "value", None), ast.Call) and _named(call) == "lazy":
            names.update(str(name.value) for name in call.args if isinstance(name, ast.Constant))
    return sorted(names)


def _named(call: ast.Call) -> str | None:
    return getattr(call.func, "id", None)


def _statements(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield all statements, nested ones too. Expressions, most of a tree, contain none and are not entered."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.stmt):
            yield node
        for name in ("orelse",) if _never_runs(node) else BLOCKS:
            waiting += getattr(node, name, ())


def _never_runs(node: ast.AST) -> bool:
    """Return whether the body of this statement is for type checkers only."""
    return isinstance(node, ast.If) and getattr(node.test, "id", None) == "TYPE_CHECKING"


def _absolute(node: ast.ImportFrom, path: str) -> str:
    if not node.level:
        return node.module or ""
    package = Path(path).with_suffix("").parts[: -node.level]
    return ".".join([*package, node.module] if node.module else package)


@cache
def _files_of(root: Path, name: str) -> tuple[str, ...]:
    """Return the file of module `name` and the `__init__` files on the way; an attribute's last part is ignored."""
    files, base = [], ""
    for part in name.split("."):
        base = f"{base}/{part}" if base else part
        whole = os.path.join(root, base)
        if os.path.isfile(os.path.join(whole, "__init__.py")):
            files.append(f"{base}/__init__.py")
        elif os.path.isfile(f"{whole}.py"):
            files.append(f"{base}.py")
        elif not os.path.isdir(whole):
            break
    return tuple(files)


def essence(root: str | Path, paths: Iterable[str]) -> str:
    """Return one SHA-256 over names and statements of the Python files `paths`, without comments, docstrings, and types
    of arguments and results.

    Whatever it leaves out cannot change what the files compute.
    """
    root, total = Path(root), hashlib.sha256()
    known = _remembered(root)
    for path in paths:
        content = (root / path).read_bytes()
        key = f"{_READER} {sys.implementation.cache_tag} {hashlib.sha256(content).hexdigest()} {path}"
        (statements,) = known.get(key, partial(_statements_of, content, path))
        total.update(f"{path}\0{statements}\n".encode())
    if not sys.dont_write_bytecode:
        known.save()
    return total.hexdigest()


def _statements_of(content: bytes, path: str) -> list[str]:
    """Return the SHA-256 over a file's statements, alone in a list, as the cache keeps it."""
    statements = repr(_plain(ast.parse(content, filename=path)))
    return [hashlib.sha256(statements.encode()).hexdigest()]


def _plain(node: Any) -> Any:
    """Return a syntax tree as nested tuples, without positions, empty fields, bare strings and a function's types."""
    if isinstance(node, list):
        return tuple(_plain(one) for one in node if not _is_text(one))
    if not isinstance(node, ast.AST):
        return node
    typed = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.arg)
    named = [(name, field) for name, field in ast.iter_fields(node) if not (typed and name in TYPES)]
    fields = ((name, _plain(field)) for name, field in named)
    # Versions of Python differ in the fields that they leave empty.
    return (type(node).__name__, *((name, field) for name, field in fields if field not in (None, ())))


def _is_text(node: Any) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )


def digest(root: str | Path, paths: Iterable[str]) -> str:
    """Return one SHA-256 over names and contents of `paths`, in order."""
    total = hashlib.sha256()
    for path in paths:
        content = hashlib.sha256((Path(root) / path).read_bytes()).hexdigest()
        total.update(f"{path}\0{content}\n".encode())
    return total.hexdigest()
