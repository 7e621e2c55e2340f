"""Implementations by name, loaded on request.

A registry maps ``name -> "module:attribute"`` as text. Reading it imports nothing; editing one entry's file makes
only the work that uses this entry stale (see `pardec.common.closure`).
"""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterator
from typing import Any

from pardec.common.errors import UserError


class Registry:
    """Names of one kind of part, each with the `module:attribute` that is imported when it is first used."""

    def __init__(self, kind: str, entries: dict[str, str]):
        self.kind = kind
        self.entries = entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def module(self, name: str) -> str:
        """Return the dotted name of the module of entry `name`."""
        return self._target(name).partition(":")[0]

    def load(self, name: str) -> Any:
        """Import and return entry `name`.

        Raises:
            UserError: no such entry; the message lists the nearest name and all that exist.
        """
        module, _, attribute = self._target(name).partition(":")
        return getattr(importlib.import_module(module), attribute)

    def _target(self, name: str) -> str:
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise UserError(
            f"{self.kind} {name!r}", "is not known", f"{hint}known: {', '.join(sorted(self.entries))}"
        )
