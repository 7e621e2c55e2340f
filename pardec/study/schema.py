"""The study's schema: one source of truth for what a config file may say.

Sections whose entries differ in kind (data sources, models, arms) are unions over the settings that each source,
model or decoder declares beside itself; a new registry line is a new allowed value here.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import Annotated, Any, Literal

from pydantic import Field, create_model

from pardec.common.registry import Registry
from pardec.common.settings import Settings
from pardec.data.registry import SOURCES as DATA_SOURCES
from pardec.decoding.registry import DECODERS
from pardec.measure.settings import MeasureSettings
from pardec.models.registry import SOURCES as MODEL_SOURCES
from pardec.quality.registry import METRICS
from pardec.study.kinds import KINDS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
"""A name that becomes part of a path: letters, digits, dot, dash, underscore."""
Precision = Literal["float32", "bfloat16", "float16"]
Metric = Literal[tuple(METRICS)]  # type: ignore[valid-type]
Kind = Literal[tuple(KINDS)]  # type: ignore[valid-type]
FloorMetric = Literal[(*METRICS, "tau")]  # type: ignore[valid-type]


class ArmBase(Settings):
    model: Name
    """Which of a workload's models it runs: a key of the workload's `models`."""
    companions: dict[Name, Name] = Field(default_factory=dict)
    """Further models that the decoder runs, such as a draft: what it calls them, and which of the workload's models."""
    engine: Literal["eager", "compiled"] = "eager"
    """How models are executed: plain modules, or compiled graphs of static shape on preallocated caches (CUDA
    graphs on a GPU, C++ on a CPU). Both sides of a comparison get the same."""
    label: str = ""
    """How figures and tables call it; the arm's name where empty."""


def _arm(name: str) -> type[Settings]:
    decoder = DECODERS.load(name)
    return create_model(
        f"Arm_{name}",
        __base__=ArmBase,
        decoder=(Literal[name], Field(description="Name of the decoder.")),
        settings=(decoder.Settings, Field(decoder.Settings(), description="The decoder's own settings.")),
    )


def union(kinds: list[type[Settings]], key: str) -> Any:
    """A union told apart by `key`."""
    return kinds[0] if len(kinds) == 1 else Annotated[reduce(or_, kinds), Field(discriminator=key)]


def _settings(registry: Registry) -> list[type[Settings]]:
    return [registry.load(name) for name in registry]


DataSource = union(_settings(DATA_SOURCES), "source")
ModelSource = union(_settings(MODEL_SOURCES), "source")
Arm = union([_arm(name) for name in DECODERS], "decoder")


class Workload(Settings):
    """What is generated: prompts, length, the models that may write it, and how it is scored."""

    data: Name
    """A dataset of this study."""
    task: Name | None = None
    """The task within the dataset; all of its records where null."""
    label: str = ""
    """How figures and tables call it; the workload's name where empty."""
    new_tokens: int = Field(gt=0)
    """Length of the output canvas, the same for every arm."""
    models: dict[Name, Name]
    """Roles (the `model` of an arm) to models of this study."""
    metrics: list[Metric] = Field(min_length=1)
    """Metrics of an output; the first is the quality that speed is held against."""
    scorer: Name | None = None
    """The autoregressive model that scores generated text, for metrics that need one."""
    encoder: str | None = None
    """Folder of a local encoder, for the metric encoder_similarity."""
    prompts: int = Field(48, ge=1)
    """Held-out prompts that quality is scored on."""
    prompt_form: Literal["plain", "chat"] = "plain"
    """`chat` hands each prompt to its model as a user's turn, through the chat template of the model's checkpoint."""
    run_code: bool = False
    """Whether metric `unit_tests` may run the programs that models wrote, in processes of their own with limits of time
    and memory but no walls: say true inside a container."""
    fill: float | None = Field(None, gt=0, le=1)
    """Take only prompts whose answer fits the canvas and takes this share of it at least, so that the canvas's
    length is the output's; for data whose tokenizer is made here. null takes all."""


class Grid(Settings):
    """Some cells of an experiment: every combination of the lists."""

    workloads: list[Name] = Field(min_length=1)
    """Workloads of this study."""
    arms: list[Name] = Field(min_length=1)
    """Arms of this study; one whose model a workload lacks is an error."""
    reference: Name | None
    """The arm each cell is paired with at the same workload and shape; null pairs each cell with itself on real
    prompts (A/A)."""
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Settings of the arms' decoders and the values each takes; an arm without a setting is run once."""
    batch: list[Annotated[int, Field(gt=0)]] = Field([1], min_length=1)
    """Prompts decoded together."""
    prompt_tokens: list[Annotated[int, Field(gt=0)] | None] = Field([None], min_length=1)
    """Prompts cut or joined to exactly this many tokens; null leaves them as they are."""
    new_tokens: list[Annotated[int, Field(gt=0)] | None] = Field([None], min_length=1)
    """Canvas lengths; null takes the workload's."""
    random_prompts: list[bool] = Field([False], min_length=1)
    """Whether prompts are random tokens of the same lengths; a reference always gets the real ones."""
    runs: list[Annotated[int, Field(gt=0)]] | None = None
    """Separate runs of each cell: processes of their own, each with an order of prompts and arms of its own. Such cells
    name run and reference in their path, so that several grids may pair one arm with different references."""
    tuning: bool = False
    """Whether they take held-out prompts that no other cell measures: to choose settings on."""
    scored: bool = True
    """Whether outputs are scored; not needed where a table holds them against the reference's token by token."""
    measure: dict[str, Any] = Field(default_factory=dict)
    """Keys of the study's `measure` that differ for these cells: fewer samples where one takes seconds."""


class Experiment(Settings):
    """One question: grids of cells, each cell timed against its reference arm in the same process."""

    question: str
    """What it asks, in a sentence."""
    kind: Kind | None = None
    """Which tables, figures and sections show it; null takes its name where that is a kind, else `comparison`. Several
    experiments of one kind are shown side by side."""
    grids: list[Grid] = Field(min_length=1)
    """The cells."""


class Floor(Settings):
    """A quality that a model must reach for the comparison to mean anything; the report shows whether it does."""

    workload: Name
    """Where."""
    arm: Name
    """Which arm. Of a metric the best over its cells in experiments of kind `steps` counts, of tau all prompts of those
    of kind `draft`."""
    metric: FloorMetric
    """Which metric of the workload; for an arm that drafts also tau, tokens committed a verification."""
    value: float
    """The floor."""


class LikelihoodSettings(Settings):
    models: list[Name] = []
    """Models whose likelihood of held-out text is measured: exact for autoregressive ones, a bound for diffusion."""
    data: Name
    """The dataset."""
    prompts: int = Field(32, ge=1)
    """Held-out records."""
    samples: int = Field(16, ge=1)
    """Monte-Carlo draws a record for the bound."""
    gap: float | None = None
    """How many nats a token the diffusion bound may lie above the autoregressive likelihood."""


Section = Literal["data", "models", "arms", "workloads", "experiments", "floors", "likelihood", "margins"]
"""Sections that a study may fill anew."""


class Study(Settings):
    name: Name
    """Name of the study."""
    title: str
    """Title of the report."""
    replace: list[Section] = []
    """Sections of the files below this one that it does not keep, such as the experiments of the default study."""
    question: str = ""
    """What the study asks, in a sentence; the title where empty."""
    seed: int = Field(ge=0, lt=2**31)
    """One seed for everything; each rule derives its own from it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where models run; auto takes cuda, then mps, then cpu."""
    threads: int = Field(1, ge=1)
    """Torch threads of a timed cell."""
    precision: Precision = "float32"
    """Number format of weights and activations; in one shorter than float32, drafted outputs are lossless up to
    rounding."""
    measure: MeasureSettings = MeasureSettings()
    """Timing."""
    data: dict[Name, DataSource]
    """Datasets by name."""
    models: dict[Name, ModelSource]
    """Models by name."""
    arms: dict[Name, Arm]
    """A decoder with its settings, by name."""
    workloads: dict[Name, Workload]
    """What is generated, by name."""
    experiments: dict[Name, Experiment] = Field(min_length=1)
    """Questions, by name."""
    margins: dict[Metric, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """By metric, how much worse than its reference an arm may be to count as equal, in the metric's unit. Equal quality
    means that the 95 % interval of the paired difference lies on the better side of it. Metrics that are not named here
    take the margin that they declare."""
    floors: list[Floor] = []
    """Qualities the models must reach."""
    likelihood: LikelihoodSettings | None = None
    """Likelihood of held-out text under the models themselves."""
    claims: list[str] = ["studies/claims.yaml"]
    """Files of claims that this study is held against, in this order; docs/claims.md says what they hold."""
    ideas: str = "studies/ideas.yaml"
    """The file of drafting ideas: which arm is which idea, its control, and what it is held against."""
