"""Modules that load at first use.

Reading a study uses the settings of every decoder and model; none of them may import torch. A file says
``torch = lazy("torch")`` and reads as usual; the import happens at the first attribute access.
"""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class _Lazy(ModuleType):
    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)


def lazy(name: str) -> Any:
    """Return a stand-in for module `name` that imports it on first attribute access."""
    return _Lazy(name)
