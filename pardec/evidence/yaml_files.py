"""Read and check YAML files of claims and ideas; messages name file, line and key of a mistake."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pardec.common.errors import UserError
from pardec.study.layers import LOADER, find

WORDS = {"extra_forbidden": "is not a known key", "missing": "is missing"}
OURS = "Value error, "
"""What pydantic puts before the message of a validator of ours."""
Model = TypeVar("Model", bound=BaseModel)


def read_yaml(path: Path, kind: type[Model]) -> Model:
    """Return the content of a file.

    Raises:
        UserError: the file is missing, not YAML, or not of this kind; names line and key of each mistake.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=LOADER)
    except OSError:
        raise UserError(path, "cannot be read", "name a file that exists") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(path, f"is not YAML ({error})", "correct the file") from None
    try:
        return kind.model_validate(content)
    except ValidationError as error:
        first, count = error.errors()[0], error.error_count()
        others = f" (and {count - 1} more mistakes)" if count > 1 else ""
        message = first["msg"]
        message = message.removeprefix(OURS) if message.startswith(OURS) else message.lower()
        raise fault(path, list(map(str, first["loc"])), WORDS.get(first["type"], message) + others) from None


def fault(path: Path, keys: list[str], what: str) -> UserError:
    """Return the error for a mistake at `keys` of a YAML file."""
    _, line = find(path, keys)
    return UserError(f"{path}:{line}: {'.'.join(keys)}", what, "see docs/claims.md for what it may say")
