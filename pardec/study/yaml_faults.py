"""Find what YAML reads otherwise than it looks: repeated keys, keys that are not text, odd numbers, dates, circles."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
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
    (
        "str",
        re.compile(r"[-+]?(\d[\d_]*\.?[\d_]*|\.\d[\d_]*)[eE][-+]?\d+"),
        "text",
        "write a number with a point and a sign, as 1.0e+3, and quote text",
    ),
    ("str", re.compile(r"0o[0-7_]+"), "text", "write a number without 0o, and quote text"),
)
"""Plain scalars that YAML 1.1 reads otherwise than they look: type, form, what they become, and the fix."""
Place = Callable[[int, str], str]
"""Returns the words for the place of a line, from 0, and a key."""
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
    `2024-05-06`; numbers such as 010 (octal), 1:30 (to base sixty) and 1e3 (text), and dates; an alias of what contains
    it.
    """
    return node_faults(compose(file), lambda line, key: f"{file}:{line + 1}: {key}")


def node_faults(root: Any, place: Place, key: str = "") -> Iterator[Problem]:
    """Yield the same of the nodes below `root`, which is the value of `key`."""
    waiting: list[tuple[str, Any, frozenset[int]]] = [(key, root, frozenset())]
    seen: set[int] = set()
    while waiting:
        path, node, around = waiting.pop()
        if id(node) in around:
            yield Problem(
                place(node.start_mark.line, path), "contains itself by an alias", "break the circle"
            )
        if id(node) in seen:  # an alias repeats a node
            continue
        seen.add(id(node))
        around |= {id(node)}
        if isinstance(node, yaml.ScalarNode) and not node.style:  # style: its quotes
            for kind, form, read_as, fix in MISREAD:
                if node.tag == TAG + kind and form.fullmatch(node.value):
                    what = f"is {node.value}, which YAML reads as {read_as}"
                    yield Problem(place(node.start_mark.line, path), what, fix)
        if isinstance(node, yaml.SequenceNode):
            waiting += [(_below(path, number), item, around) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            yield from _keys(place, path, node)
            waiting += [(_below(path, key.value), value, around) for key, value in node.value]


def _below(path: str, key: object) -> str:
    return f"{path}.{key}" if path else str(key)


def _keys(place: Place, path: str, node: Any) -> Iterator[Problem]:
    lines: dict[str, int] = {}
    values: dict[str, Any] = {}
    for key, value in node.value:
        line, where = key.start_mark.line, _below(path, key.value)
        first = lines.setdefault(str(key.value), line)
        if values.setdefault(str(key.value), value) is not value or first != line:
            what = f"is there a second time; the first is in line {first + 1}"
            yield Problem(place(line, where), what, "keep one of the two")
        kind = key.tag.removeprefix(TAG)
        if kind not in ("str", "merge"):
            what = f"is a key that YAML reads as {KINDS.get(kind, kind)}, not as text"
            yield Problem(place(line, where), what, f'quote it: "{key.value}"')
