"""The strict base of everything a study may set."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Declared beside what it configures; unknown keys and wrong types are refused. The text below a key tells what it
    means; `pardec.study.reference` reads it, since pydantic's own reading of it takes each job a tenth of a second."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)
