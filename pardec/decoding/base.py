"""The interface of a decoder: a model, a batch of prompts, settings, and an observer of its progress.

A decoder knows nothing of clocks: it reports to an injected `Observer` and goes on.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from pardec.common.settings import Settings

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel


class Observer:
    """Receives what a decoder does, in order; the base class ignores everything.

    No method may synchronise the device.
    """

    def start(self) -> None:
        """Decoding begins: the prompts are on the device, and time counts from here."""

    def prefill(self) -> None:
        """The prompt has been processed and nothing is committed yet."""

    def step(self, committed: int | Tensor, final: int | None = None) -> None:
        """One forward pass of the model ended.

        committed: tokens per row that this pass committed and that the row keeps, its end token included,
        what fills it behind that not; where rows differ, a tensor [B] left on the device. final: as `block`
        is told; None where the pass says nothing of it.
        """

    def block(self, stop: int) -> None:
        """All output positions before `stop` are final, so a user who reads from left to right sees them."""

    def phase(self, name: str) -> None:
        """The phase `name` ends here; it began where the phase before it ended, or at the start."""

    def seconds(self) -> float | None:
        """Return the time on a host clock, for decoders that choose by what a cycle takes; None where no time
        is kept."""
        return None

    def cycle(self, **facts: Any) -> None:
        """One cycle of a speculative decoder ended; `facts` are numbers, or tensors left on the device."""


SILENT = Observer()


@dataclass
class PromptBatch:
    """Prompts, left-padded to one length.

    tokens: [B, P] long. pad: [B] long, how many pad tokens come before each prompt. seeds: [B] long, one
    random stream per prompt, so that a prompt's samples do not depend on the batch it is in.
    """

    tokens: Tensor
    pad: Tensor
    seeds: Tensor

    @property
    def size(self) -> int:
        return self.tokens.shape[0]

    @property
    def length(self) -> int:
        return self.tokens.shape[1]


@dataclass
class Decoded:
    """The result of one generation.

    tokens: [B, N] long, N the canvas. useful: [B] long, tokens before the first that ends a text (N where
    there is none). nfe: forward passes of the model for the batch. token_forwards: positions per row that
    these passes processed.
    """

    tokens: Tensor
    useful: Tensor
    nfe: int
    token_forwards: int


@dataclass(frozen=True)
class Passes:
    """Forward passes of one kind, as far as they are known before a generation.

    count: how many. length: positions per row that each processes, after `past` cached ones. kept: positions
    per row whose logits it gives. cached: whether keys and values are stored.
    """

    count: int
    length: int
    past: int
    kept: int
    cached: bool


class Decoder(ABC):
    """A way to turn prompts into tokens: one file and one registry line."""

    Settings: ClassVar[type[Settings]]
    needs: ClassVar[str]
    """The attention its model must have: "causal" or "bidirectional"."""
    family: ClassVar[str] = ""
    """The name of its kind of decoding in tables; empty means its own name."""
    accompanied: ClassVar[tuple[str, ...]] = ()
    """The names of the further models that it can run, such as a draft."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.companions: dict[str, LanguageModel] = {}
        """Further models by these names; set before `prepare`."""
        self.engine = "eager"
        """How the models are executed; for decoders that run models of their own. Set before `prepare`."""

    @classmethod
    def check(cls, settings: Settings, new_tokens: int) -> str | None:
        """Return why these settings cannot write `new_tokens` tokens, or None. Light: called while a study is
        read."""
        return None

    @classmethod
    def wants(cls, settings: Settings) -> tuple[str, ...]:
        """Return those of `accompanied` that it needs at these settings; by default all of them."""
        return cls.accompanied

    @classmethod
    def modules(cls, settings: Settings) -> tuple[str, ...]:
        """Dotted names of the modules that this decoder runs at these settings and that no import statement
        names: its own, and those of the strategies and further decoders that it loads by name. Light: for
        planning and provenance."""
        return (cls.__module__,)

    @classmethod
    def passes(cls, settings: Settings, prompt: int, new_tokens: int) -> list[Passes] | None:
        """Return the most passes that a generation after `prompt` tokens makes; None where the text decides.
        Light: for planning only."""
        return None

    def prepare(self, model: LanguageModel) -> None:  # noqa: B027 (an optional hook)
        """Build what every generation with `model` shares, once and before warm-up; never timed."""

    @abstractmethod
    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt."""

    def check_outputs(self, model: LanguageModel, prompts: PromptBatch) -> list[dict[str, Any]] | None:
        """Return plain numbers about how each prompt's output came about, for scores to read, or None. Called
        once beside untimed generations, never timed."""
        return None
