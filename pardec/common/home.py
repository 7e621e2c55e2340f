"""Paths that a user writes: `~` is the home folder."""

from __future__ import annotations

import os
from typing import Annotated

from pydantic import AfterValidator

UserPath = Annotated[str, AfterValidator(os.path.expanduser)]
"""A path with `~` expanded where the study is read, so that checks, inputs of rules and jobs see one path."""
