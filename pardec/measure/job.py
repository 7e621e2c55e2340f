"""The request of a timing job: one cell and its reference, as plain JSON on its command line."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pardec.common.errors import UserError
from pardec.measure.settings import MeasureSettings


class ArmJob(BaseModel):
    """One arm: a checkpoint folder, a decoder by name with its settings, and the arm's name."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    model: str
    """Checkpoint folder."""
    arm: str
    decoder: str
    settings: dict[str, Any] = Field(default_factory=dict)
    companions: dict[str, str] = Field(default_factory=dict)
    """Folders of companion models, by the decoder's names for them."""
    quality: str | None = None
    """Path of the score of this arm's outputs."""


class CellJob(ArmJob):
    """One timing job."""

    id: str
    """The cell's path below results/cells."""
    experiment: str
    reference: ArmJob | None = None
    data: str
    """Dataset folder."""
    workload: str
    task: str | None = None
    batch: int = Field(ge=1)
    run: int | None = None
    """Number of this run among several; each has a different order."""
    prompt_set: Literal["measured", "tuning"] = "measured"
    """The prompts that cells are measured on, or the next ones, to choose settings on."""
    prompt_tokens: int | None = None
    prompt_text: Literal["real", "random"] = "real"
    prompt_form: Literal["plain", "chat"] = "plain"
    new_tokens: int = Field(ge=1)
    fill: float | None = None
    """Least share of the canvas that a prompt's answer takes."""
    device: str = "auto"
    precision: str = "float32"
    engine: Literal["eager", "compiled", "packed"] = "eager"
    threads: int = 1
    seed: int
    measure: MeasureSettings = MeasureSettings()

    @property
    def sides(self) -> list[ArmJob]:
        """Return the cell, and its reference if it has one."""
        return [self, *([self.reference] if self.reference else [])]


def read_job(text: str) -> CellJob:
    """Return the job in `text`, JSON.

    Raises:
        UserError: invalid JSON, or an unknown key or value.
    """
    try:
        return CellJob.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(("--cell", *map(str, first["loc"])))
        raise UserError(where, first["msg"], "give the cell as the workflow's own command has it") from None
