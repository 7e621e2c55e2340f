"""What tables rely on in a timing record; what else it holds is left alone."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from pardec.common.errors import UserError

Name = Annotated[str, Field(pattern="[A-Za-z0-9]")]
"""Without a letter or digit it would be no key of a row; an empty one would be a missing one in a table."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class SettingsPart(_Part):
    steps: int | None = None
    block: int | None = None


class CellPart(_Part):
    """What a cell ran; a reference names itself by the same words, without an id."""

    id: Name | None = None
    experiment: Name
    task: Name
    model: Name
    decoder: Name
    settings: SettingsPart
    batch: PositiveInt
    new_tokens: PositiveInt
    data: Name | None = None
    family: Name | None = None
    arm: Name | None = None
    engine: Name | None = None
    precision: Name | None = None
    device: Name | None = None
    role: Name | None = None
    quality: str | None = None
    threads: int | None = None
    prompt_tokens: int | None = None
    run: int | None = None
    random_prompts: bool | None = None
    tuning: bool | None = None
    companions: dict[str, str] | None = None


class NamedCell(CellPart):
    id: Name


class CyclePart(_Part):
    at_ms: float | None = None
    tau: float | None = None
    accepted: float | None = None
    drafted: int | None = None
    verified: int | None = None
    block: int | None = None
    phases_ms: dict[str, float] | None = None


class SamplePart(_Part):
    """One timed generation."""

    block: int
    prompts: list[str]
    e2e_ms: float = Field(gt=0)
    first_ms: float | None
    useful: NonNegativeInt
    canvas: NonNegativeInt
    nfe: NonNegativeInt
    order: int | None = None
    first_tokens: float | None = None
    prefill_ms: float | None = None
    host_ms: float | None = None
    cpu_ms: float | None = None
    token_forwards: int | None = None
    block_ms: list[float] | None = None
    commit_ms: list[float] | None = None
    committed: list[float] | None = None
    phases_ms: dict[str, float] | None = None
    flags: list[str] | None = None
    cycles: list[CyclePart] | None = None


class OutputPart(_Part):
    prompt: str
    tokens: list[int]
    margins: list[float] | None = None
    behind_ulp: float | None = None


class ReferencePart(_Part):
    cell: CellPart
    samples: list[SamplePart]
    outputs: list[OutputPart] | None = None
    warmup_ms: list[float] | None = None


class MemoryPart(_Part):
    peak_allocated_mb: float | None = None
    peak_reserved_mb: float | None = None
    rss_mb: float | None = None
    weights_mb: float | None = None
    cache_mb: float | None = None
    logits_mb: float | None = None
    method: str | None = None


class WorkPart(_Part):
    flops_per_output: float | None
    bytes_per_output: float | None
    forwards: float | None = None
    flops_agreement: float | None = None


class EnergyPart(_Part):
    joules_per_output: float | None = None
    net_joules_per_output: float | None = None
    valid: bool | None = None


class StopPart(_Part):
    reason: str | None = None
    half_width: float | None = None
    target: float | None = None
    budget_s: float | None = None


class LengthPart(_Part):
    mean: float | None = None


class BoundaryPart(_Part):
    fits: int | None = None


class GitPart(_Part):
    commit: str | None = None
    dirty: bool | None = None


class OriginPart(_Part):
    rule: str | None = None
    command: str | None = None
    code_sha256: str | None = None
    start: str | None = None
    end: str | None = None
    git: GitPart | None = None


class Record(_Part):
    """A timing record."""

    cell: NamedCell
    status: Name
    samples: list[SamplePart]
    reference: ReferencePart | None = None
    reason: str | None = None
    outputs: list[OutputPart] | None = None
    warmup_ms: list[float] | None = None
    compile_ms: float | None = None
    memory: MemoryPart | None = None
    work: WorkPart | None = None
    energy: EnergyPart | None = None
    stop: StopPart | None = None
    prompt_length: LengthPart | None = None
    largest_batch: BoundaryPart | None = None
    ready_s: float | None = None
    measured_s: float | None = None
    launch: str | None = None
    provenance: OriginPart | None = None


def check(path: str, body: Any, mend: str) -> None:
    """
    Raises:
        UserError: `body` is not a record; names `path` and the first key that is missing or wrong.
    """
    if not isinstance(body, dict):
        raise UserError(path, "is not a record", mend)
    try:
        Record.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])[1:]
        if first["type"] == "missing":
            raise UserError(path, f"lacks {where}", mend) from None
        raise UserError(path, f"has a wrong {where}: {first['msg']}", mend) from None
    if body["status"] == "ok" and not body["samples"]:
        raise UserError(path, "says ok but has no samples", mend)
