"""What a decoder is: a model, a batch of prompts, settings, and an observer that is told what happened.

A decoder knows nothing of clocks: it tells an injected `Observer` and goes on.
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
    """Hears what a decoder does, in order; the base class ignores it all.

    No method may synchronise the device.
    """

    def start(self) -> None:
        """Decoding begins; the prompts are on the device."""

    def prefill(self) -> None:
        """The prompt has been processed and nothing is committed yet."""

    def step(self, committed: int | Tensor) -> None:
        """One forward pass of the model ended.

        committed: tokens a row that this pass committed; where rows differ, a tensor [B] left on the device.
        """

    def block(self, stop: int) -> None:
        """All output positions before `stop` are final, so a user reading left to right sees them."""

    def phase(self, name: str) -> None:
        """The phase `name` ends here; it began where the phase before it ended, or at the start."""

    def seconds(self) -> float | None:
        """The time on a host clock, for decoders that choose by what a cycle takes; None where nobody keeps time."""
        return None

    def cycle(self, **facts: Any) -> None:
        """One cycle of a speculative decoder ended; `facts` are numbers, or tensors left on the device."""


SILENT = Observer()


@dataclass
class PromptBatch:
    """Prompts, left-padded to one length.

    tokens: [B, P] long. pad: [B] long, how many pad tokens stand before each prompt. seeds: [B] long, one
    random stream a prompt, so that a prompt's samples do not depend on the batch it is in.
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
    """What came out.

    tokens: [B, N] long, N the canvas. useful: [B] long, tokens before the first end-of-sequence token (N
    where none is). nfe: forward passes of the model for the batch. token_forwards: positions a row that these
    passes processed.
    """

    tokens: Tensor
    useful: Tensor
    nfe: int
    token_forwards: int


@dataclass(frozen=True)
class Passes:
    """Forward passes of one kind, as far as they are known before a generation.

    count: how many. length: positions a row that each processes, after `past` cached ones. kept: positions a row
    whose logits it gives. cached: whether keys and values are stored.
    """

    count: int
    length: int
    past: int
    kept: int
    cached: bool


class Decoder(ABC):
    """A way to turn prompts into tokens. One file, one registry line."""

    Settings: ClassVar[type[Settings]]
    needs: ClassVar[str]
    """The attention its model must have: "causal" or "bidirectional"."""
    family: ClassVar[str] = ""
    """What tables call its kind of decoding; empty means its own name."""
    accompanied: ClassVar[tuple[str, ...]] = ()
    """What it calls the further models that it can run, such as a draft."""

    def __init__(self, settings: Settings):
        self.settings = settings
        self.companions: dict[str, LanguageModel] = {}
        """Further models by what the decoder calls them; set before `prepare`."""
        self.engine = "eager"
        """How the models are executed; for decoders that run models of their own. Set before `prepare`."""

    @classmethod
    def check(cls, settings: Settings, new_tokens: int) -> str | None:
        """Why these settings cannot write `new_tokens` tokens, or None. Light: called while a study is
        read."""
        return None

    @classmethod
    def wants(cls, settings: Settings) -> tuple[str, ...]:
        """Those of `accompanied` that it cannot do without at these settings; all of them unless it says less."""
        return cls.accompanied

    @classmethod
    def modules(cls, settings: Settings) -> tuple[str, ...]:
        """Dotted names of the modules that this decoder runs at these settings and that no import statement names:
        its own, and those of the strategies and further decoders that it loads by name. Light: for planning and
        provenance."""
        return (cls.__module__,)

    @classmethod
    def passes(cls, settings: Settings, prompt: int, new_tokens: int) -> list[Passes] | None:
        """The most passes that a generation after `prompt` tokens makes; None where the text decides. Light: for
        planning only."""
        return None

    def prepare(self, model: LanguageModel) -> None:  # noqa: B027 (an optional hook)
        """Build once, before warm-up, what every generation with `model` shares; never timed."""

    @abstractmethod
    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt."""

    def check_outputs(self, model: LanguageModel, prompts: PromptBatch) -> list[dict[str, Any]] | None:
        """Plain numbers about how each prompt's output came about, which scores may read; None where it has none.
        Called once beside untimed generations, never timed."""
        return None
