"""Schema of the record that a timing job writes: one cell with all raw samples. Writer and readers share it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from pardec.common.errors import UserError
from pardec.decoding.registry import DECODERS
from pardec.measure.job import ArmJob, CellJob

SCHEMA = 1
"""Version of the schema. Records of other versions are refused."""
AGAIN = "move it away and run `make all` again: its cell is then measured again"

Name = Annotated[str, Field(pattern="[A-Za-z0-9]")]
"""A name needs a letter or digit to serve as a row's key; tables read an empty one as missing."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class SettingsPart(_Part):
    """The decoder's settings that tables read."""

    steps: int | None = None
    block: int | None = None


class CellPart(_Part):
    """Configuration that a cell ran; a reference has the same fields, without an id."""

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
    """A cell with its id."""

    id: Name


class CyclePart(_Part):
    """One cycle of speculative decoding: when it ended (ms), tokens drafted, verified, accepted and committed
    (`tau`)."""

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
    """The tokens written for one prompt; margins: of the best logit over the second, by token."""

    prompt: str
    tokens: list[int]
    margins: list[float] | None = None
    behind_ulp: float | None = None
    entropy: float | None = None


class ReferencePart(_Part):
    """The reference that ran in the same process, its samples interleaved with the cell's."""

    cell: CellPart
    samples: list[SamplePart]
    outputs: list[OutputPart] | None = None
    warmup_ms: list[float] | None = None


class MemoryPart(_Part):
    """Peak memory and its parts, in MB; method: how it was measured."""

    peak_allocated_mb: float | None = None
    peak_reserved_mb: float | None = None
    rss_mb: float | None = None
    weights_mb: float | None = None
    cache_mb: float | None = None
    logits_mb: float | None = None
    method: str | None = None


class WorkPart(_Part):
    """Work per output: floating-point operations, bytes moved, and forward passes of the big model."""

    flops_per_output: float | None
    bytes_per_output: float | None
    forwards: float | None = None
    flops_agreement: float | None = None


class EnergyPart(_Part):
    """Energy per output in joules, in total and above the idle machine's."""

    joules_per_output: float | None = None
    net_joules_per_output: float | None = None
    valid: bool | None = None


class StopPart(_Part):
    """Why sampling ended: the reason, the half-width reached and its target (shares of the median), the budget in
    seconds."""

    reason: str | None = None
    half_width: float | None = None
    target: float | None = None
    budget_s: float | None = None


class LengthPart(_Part):
    """Lengths of the prompts, in tokens."""

    mean: float | None = None


class BoundaryPart(_Part):
    """The largest batch found to fit into memory."""

    fits: int | None = None


class GitPart(_Part):
    """The commit of the code, and whether files differed from it."""

    commit: str | None = None
    dirty: bool | None = None


class OriginPart(_Part):
    """The job that wrote the record: rule, command, hash of its code, times."""

    rule: str | None = None
    command: str | None = None
    code_sha256: str | None = None
    start: str | None = None
    end: str | None = None
    git: GitPart | None = None


class Record(_Part):
    """A timing record. Further keys are ignored: raw facts that no table reads."""

    schema_version: Literal[SCHEMA] = Field(alias="schema")  # type: ignore[valid-type]
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


def check(path: str, body: Any) -> dict[str, Any]:
    """Return `body` if it is a valid record.

    Raises:
        UserError: `body` is invalid; names `path` and the first key that is missing or wrong.
    """
    if not isinstance(body, dict):
        raise UserError(path, "is not a record", AGAIN)
    if body.get("schema", SCHEMA) != SCHEMA:
        fix = "read it with the version of pardec that wrote it, or measure its cell again"
        raise UserError(path, f"has schema {body['schema']!r}; this version reads schema {SCHEMA}", fix)
    try:
        Record.model_validate(body)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])[1:]
        if first["type"] == "missing":
            raise UserError(path, f"lacks {where}", AGAIN) from None
        raise UserError(path, f"has a wrong {where}: {first['msg']}", AGAIN) from None
    if body["status"] == "ok" and not body["samples"]:
        raise UserError(path, "says ok but has no samples", AGAIN)
    return body


def record(job: CellJob, facts: dict[str, Any], launch: str) -> dict[str, Any]:
    """Return a record without its provenance.

    facts: the result of `pardec.measure.cell.run_cell`. The result has the form of a `Record`. Only readers validate
    it, so that an error in the schema cannot lose a measurement.
    """
    facts = dict(facts)
    samples = facts.pop("reference_samples", None)
    warmup = facts.pop("reference_warmup_ms", None)
    outputs = facts.pop("reference_outputs", None)
    compile_ms = facts.pop("reference_compile_ms", None)
    device = facts["device"]["name"]
    reference = None
    if job.reference is not None:
        reference = {
            "cell": _cell(job, job.reference, device) | {"role": "reference"},
            "samples": samples or [],
            "warmup_ms": warmup or [],
            "compile_ms": compile_ms,
            "outputs": outputs or [],
        }
    cell = _cell(job, job, device) | {"id": job.id, "role": "cell"}
    cell |= {"run": job.run, "tuning": job.prompt_set == "tuning"}
    return {"schema": SCHEMA, "cell": cell, **facts, "reference": reference, "launch": launch}


def _cell(job: CellJob, side: ArmJob, device: str) -> dict[str, Any]:
    return {
        "experiment": job.experiment,
        "task": job.workload,
        "data": Path(job.data).name,
        "model": Path(side.model).name,
        "arm": side.arm,
        "family": DECODERS.load(side.decoder).family or side.decoder,
        "decoder": side.decoder,
        "settings": side.settings,
        "companions": {name: Path(folder).name for name, folder in side.companions.items()},
        "engine": job.engine,
        "precision": job.precision,
        "device": device,
        "threads": job.threads,
        "batch": job.batch,
        "prompt_tokens": job.prompt_tokens,
        "new_tokens": job.new_tokens,
        "random_prompts": side is job and job.prompt_text == "random",
        "quality": side.quality,
    }
