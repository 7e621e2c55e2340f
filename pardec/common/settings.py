"""The strict base class of all settings of a study."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Settings(BaseModel):
    """Base of settings, declared beside the code that they configure; unknown keys and wrong types are refused. The
    string below a key describes it; `pardec.study.reference` reads it, since pydantic would take each job a tenth of a
    second for that."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)
