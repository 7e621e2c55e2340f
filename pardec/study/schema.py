"""Schema of a study: the single definition of allowed keys and values.

Sections whose entries differ in kind (data sources, models, arms) are unions over the settings that each source,
model or decoder declares in its own module; a new registry line adds an allowed value here.
"""

from __future__ import annotations

from functools import reduce
from operator import or_
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

from pydantic import Field, create_model

from pardec.common.home import UserPath
from pardec.common.registry import Registry
from pardec.common.settings import Settings
from pardec.data.registry import SOURCES as DATA_SOURCES
from pardec.decoding.registry import DECODERS
from pardec.measure.settings import MeasureSettings
from pardec.measure.supervise import LIMIT_S
from pardec.models.registry import SOURCES as MODEL_SOURCES
from pardec.quality.registry import METRICS
from pardec.study.kinds import KINDS

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=80)]
"""A name used in paths: letters, digits, dot, dash, underscore; several share a file name of at most 255 bytes."""
Precision = Literal["float32", "bfloat16", "float16"]
if TYPE_CHECKING:  # the registries' names, which only a running program knows
    Metric: TypeAlias = str
    Kind: TypeAlias = str
    FloorMetric: TypeAlias = str
else:
    Metric = Literal[tuple(METRICS)]
    Kind = Literal[tuple(KINDS)]
    FloorMetric = Literal[(*METRICS, "tau")]


class ArmBase(Settings):
    """A way of decoding: a decoder with its settings, on a model of the workload."""

    model: Name
    """The model it runs: a key of the workload's `models`."""
    companions: dict[Name, Name] = Field(default_factory=dict)
    """Further models that the decoder runs, such as a draft: the decoder's name for each, and a key of the workload's
    `models`."""
    engine: Literal["eager", "compiled", "packed"] = "eager"
    """How models are executed: plain modules; compiled graphs of static shape on preallocated caches (CUDA graphs on
    a GPU, C++ on a CPU); or, on a CPU, layers and products of few tokens that read packed weights at the rate of
    memory. Both sides of a comparison must use the same engine."""
    label: str = ""
    """Name in figures and tables; if empty, the arm's name."""


def _arm(name: str) -> type[Settings]:
    decoder = DECODERS.load(name)
    only: Any = Literal[name]
    return create_model(
        f"Arm_{name}",
        __base__=ArmBase,
        decoder=(only, Field(description="Name of the decoder.")),
        settings=(decoder.Settings, Field(decoder.Settings(), description="The decoder's own settings.")),
    )


def union(kinds: list[type[Settings]], key: str) -> Any:
    """Return a union of settings, discriminated by `key`."""
    return kinds[0] if len(kinds) == 1 else Annotated[reduce(or_, kinds), Field(discriminator=key)]


def _settings(registry: Registry) -> list[type[Settings]]:
    return [registry.load(name) for name in registry]


if TYPE_CHECKING:
    DataSource: TypeAlias = Any
    ModelSource: TypeAlias = Any
    Arm: TypeAlias = Any
else:
    DataSource = union(_settings(DATA_SOURCES), "source")
    ModelSource = union(_settings(MODEL_SOURCES), "source")
    Arm = union([_arm(name) for name in DECODERS], "decoder")


class Workload(Settings):
    """A generation task: prompts, output length, the models for it, and its metrics."""

    data: Name
    """A dataset of this study."""
    task: Name | None = None
    """The task within the dataset; null takes all records."""
    label: str = ""
    """Name in figures and tables; if empty, the workload's name."""
    new_tokens: int = Field(gt=0)
    """Length of the output canvas, the same for every arm."""
    models: dict[Name, Name]
    """Roles (the `model` of an arm) to models of this study."""
    metrics: list[Metric] = Field(min_length=1)
    """Metrics of outputs; the first is the quality in comparisons of speed."""
    scorer: Name | None = None
    """The autoregressive model that scores generated text, for metrics that need one."""
    encoder: UserPath | None = None
    """Folder of a local encoder, for the metric encoder_similarity; `~` is the home folder."""
    prompts: int = Field(48, ge=1)
    """Number of held-out prompts for scoring quality."""
    prompt_form: Literal["plain", "chat"] = "plain"
    """`chat` formats each prompt as a user's turn with the chat template of the model's checkpoint."""
    run_code: bool = False
    """Whether metric `unit_tests` may run programs written by models. Each runs in a sandbox without network,
    files and other processes (Linux's namespaces, or bubblewrap where it is installed); without one, none is run."""
    fill: float | None = Field(None, gt=0, le=1)
    """Minimum share of the canvas that a prompt's answer must fill (and fit into), so that the canvas length equals the
    output length; for data whose tokenizer is trained by the study. null takes all prompts."""


class Grid(Settings):
    """Some cells of an experiment: every combination of the lists."""

    workloads: list[Name] = Field(min_length=1)
    """Workloads of this study."""
    arms: list[Name] = Field(min_length=1)
    """Arms of this study; each workload must have their models."""
    reference: Name | None
    """The arm that each cell is paired with, at the same workload and shape; null pairs each cell with itself on real
    prompts (A/A)."""
    sweep: dict[str, Annotated[list[Any], Field(min_length=1)]] = Field(default_factory=dict)
    """Settings of the arms' decoders with lists of values; an arm without such a setting runs once."""
    batch: list[Annotated[int, Field(gt=0)]] = Field([1], min_length=1)
    """Batch sizes: prompts decoded together."""
    prompt_tokens: list[Annotated[int, Field(gt=0)] | None] = Field([None], min_length=1)
    """Prompt lengths: prompts are cut or joined to exactly this many tokens; null leaves them unchanged."""
    new_tokens: list[Annotated[int, Field(gt=0)] | None] = Field([None], min_length=1)
    """Canvas lengths; null takes the workload's."""
    random_prompts: list[bool] = Field([False], min_length=1)
    """Whether prompts are random tokens of the same lengths; a reference always gets the real prompts."""
    runs: list[Annotated[int, Field(gt=0)]] | None = None
    """Separate runs of each cell: each is a process with its own order of prompts and arms. The paths of such cells
    contain run and reference, so several grids may pair one arm with different references."""
    tuning: bool = False
    """Whether cells use held-out prompts reserved for choosing settings."""
    scored: bool = True
    """Whether outputs are scored; not needed if a table compares them with the reference's token by token."""
    measure: dict[str, Any] = Field(default_factory=dict)
    """Keys of the study's `measure` that differ for these cells, such as fewer samples for slow cells."""


class Experiment(Settings):
    """One question: grids of cells, each cell timed against its reference arm in the same process."""

    question: str
    """The question in one sentence."""
    kind: Kind | None = None
    """Kind of tables, figures and sections that show it; null takes the experiment's name if that is a kind, else
    `comparison`. Several experiments of one kind are shown side by side."""
    grids: list[Grid] = Field(min_length=1)
    """Grids of cells."""


class Floor(Settings):
    """A quality that a model must reach for a meaningful comparison; the report shows whether it does."""

    workload: Name
    """Workload that the floor applies to."""
    arm: Name
    """Arm that the floor applies to. A metric counts at its best over the arm's cells in experiments of kind `steps`,
    tau over all prompts of those of kind `draft`."""
    metric: FloorMetric
    """A metric of the workload; for arms that draft also tau, tokens committed per verification."""
    value: float
    """The floor."""


class LikelihoodSettings(Settings):
    """The likelihood of held-out text under some models."""

    models: list[Name] = []
    """Models whose likelihood of held-out text is measured: exact for autoregressive models, a bound for diffusion."""
    data: Name
    """The dataset."""
    prompts: int = Field(32, ge=1)
    """Number of held-out records."""
    samples: int = Field(16, ge=1)
    """Monte Carlo draws per record for the bound."""
    gap: float | None = None
    """Largest distance of the diffusion bound above the autoregressive likelihood, in nats per token."""


class Study(Settings):
    """One study: everything that a config file contains."""

    name: Name
    """Name of the study."""
    title: str
    """Title of the report."""
    include: list[str] = []
    """Files that lie beneath this one, relative to it. A file with this key (`[]` too) is a study of its own; a file
    without it changes the default study."""
    question: str = ""
    """The study's question in one sentence; if empty, the title."""
    seed: int = Field(ge=0, lt=2**31)
    """Seed of the study; each rule derives its own from it."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Device of the models; auto takes cuda, then mps, then cpu."""
    threads: int = Field(1, ge=1)
    """Torch threads of a timed cell."""
    precision: Precision = "float32"
    """Number format of weights and activations; below float32, drafted outputs are lossless up to rounding."""
    measure: MeasureSettings = MeasureSettings()
    """Settings of timing."""
    job_timeout_s: float = Field(LIMIT_S, gt=0)
    """Seconds after which a job that is not timed (outputs, scores, likelihoods) is ended and recorded as a result;
    finished outputs are kept."""
    data: dict[Name, DataSource]
    """Datasets by name."""
    models: dict[Name, ModelSource]
    """Models by name."""
    arms: dict[Name, Arm]
    """Arms by name: a decoder with its settings."""
    workloads: dict[Name, Workload]
    """Workloads by name."""
    experiments: dict[Name, Experiment] = Field(min_length=1)
    """Experiments by name."""
    margins: dict[Metric, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    """By metric, the loss against the reference that still counts as equal, in the metric's unit. Quality is equal if
    the 95 % interval of the paired difference lies on the better side of the margin. Other metrics take the margin that
    they declare."""
    floors: list[Floor] = []
    """Qualities that the models must reach."""
    likelihood: LikelihoodSettings | None = None
    """Likelihood of held-out text under the models themselves."""
    claims: list[UserPath] = ["studies/claims.yaml"]
    """Files of claims that this study is judged by, in this order; docs/claims.md describes them."""
    ideas: UserPath = "studies/ideas.yaml"
    """File of drafting ideas: the arm of each idea, its control, and its reference."""
