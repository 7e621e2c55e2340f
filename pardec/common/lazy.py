"""Modules that load at first use.

Reading a study touches every decoder's and model's settings; none of that may cost an import of torch. A file says
``torch = lazy("torch")`` and reads as usual; the import happens at the first attribute access.
"""

from __future__ import annotations

import importlib
from types import ModuleType


class _Lazy(ModuleType):
    def __getattr__(self, attribute: str):
        return getattr(importlib.import_module(self.__name__), attribute)


def lazy(name: str) -> ModuleType:
    """Return a stand-in for module `name` that imports it on first attribute access."""
    return _Lazy(name)
