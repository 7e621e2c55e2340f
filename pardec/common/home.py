"""Paths in a user's home: those that a user writes with `~`, and the cache."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator

UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path with `~` expanded where the study is read, so that checks, inputs of rules and jobs see one path."""


def user_cache(name: str) -> Path:
    """Return the folder `pardec/NAME` in the user's cache (XDG_CACHE_HOME)."""
    base = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    return Path(base) / "pardec" / name
