"""Find what YAML reads otherwise than it looks: repeated keys, keys that are not text, odd numbers, dates, circles."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from pardec.study.checks import Problem
from pardec.study.layers import compose

TAG = "tag:yaml.org,2002:"
MISREAD = (
    ("int", re.compile(r"[-+]?0[0-7_]+"), "an octal number", "write it without the zero, or quote it"),
    ("int", re.compile(r"[-+]?[\d_]+(:[0-5]?\d)+"), "a number to base sixty", "quote it"),
    ("float", re.compile(r"[-+]?[\d_]+(:[0-5]?\d)+\.\d*"), "a number to base sixty", "quote it"),
    ("timestamp", re.compile(".*", re.DOTALL), "a date", "quote it"),
)
"""Plain scalars that YAML 1.1 reads otherwise than they look: type, form, what they become, and the fix."""
KINDS = {
    "bool": "true or false",
    "int": "a number",
    "float": "a number",
    "null": "null",
    "timestamp": "a date",
}


def yaml_faults(file: str | Path) -> Iterator[Problem]:
    """Yield a problem for each key or value of a study's file that YAML would take for something else.

    These are: a key that a mapping has twice, of which YAML keeps the last; a key that is no text, as `on` or
    `2024-05-06`; numbers such as 010 (octal) and 1:30 (to base sixty), and dates; an alias of what contains it.
    """
    waiting: list[tuple[str, Any, frozenset[int]]] = [("", compose(file), frozenset())]
    seen: set[int] = set()
    while waiting:
        path, node, around = waiting.pop()
        if id(node) in around:
            where = f"{file}:{node.start_mark.line + 1}: {path[1:]}"
            yield Problem(where, "contains itself by an alias", "break the circle")
        if id(node) in seen:  # an alias repeats a node
            continue
        seen.add(id(node))
        around |= {id(node)}
        if isinstance(node, yaml.ScalarNode):
            for kind, form, read_as, fix in MISREAD:
                if node.tag == TAG + kind and form.fullmatch(node.value):
                    where = f"{file}:{node.start_mark.line + 1}: {path[1:]}"
                    yield Problem(where, f"is {node.value}, which YAML reads as {read_as}", fix)
        if isinstance(node, yaml.SequenceNode):
            waiting += [(f"{path}.{number}", item, around) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            yield from _keys(file, path, node)
            waiting += [(f"{path}.{key.value}", value, around) for key, value in node.value]


def _keys(file: str | Path, path: str, node: Any) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    values: dict[str, Any] = {}
    for key, value in node.value:
        line, where = key.start_mark.line + 1, f"{path}.{key.value}"
        first = lines.setdefault(str(key.value), line)
        if values.setdefault(str(key.value), value) is not value or first != line:
            what = f"is there a second time; the first is in line {first}"
            yield Problem(f"{file}:{line}: {where[1:]}", what, "keep one of the two")
        kind = key.tag.removeprefix(TAG)
        if kind not in ("str", "merge"):
            what = f"is a key that YAML reads as {KINDS.get(kind, kind)}, not as text"
            yield Problem(f"{file}:{line}: {where[1:]}", what, f'quote it: "{key.value}"')
