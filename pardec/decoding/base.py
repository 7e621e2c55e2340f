"""The interface of a decoder: a model, a batch of prompts, settings, and an observer of its progress.

A decoder knows nothing of clocks: it reports its progress to an injected `Observer`.
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
        """Report that decoding begins: the prompts are on the device, and time counts from here."""

    def prefill(self) -> None:
        """Report that the prompt has been processed and nothing is committed yet."""

    def step(self, committed: int | Tensor, final: int | None = None) -> None:
        """Report the end of one forward pass of the model.

        committed: tokens per row that this pass committed, the end token included and the filling behind it
        excluded; a tensor [B] left on the device where rows differ. final: the number of leading output
        positions that are final in every row (see `block`); None where the pass does not report it.
        """

    def block(self, stop: int) -> None:
        """Report that all output positions before `stop` are final: a user who reads from left to right sees
        them."""

    def phase(self, name: str) -> None:
        """Report the end of phase `name`; it began where the previous phase ended, or at the start."""

    def seconds(self) -> float | None:
        """Return the host clock in seconds, for decoders that choose by the duration of a cycle; None without a
        clock."""
        return None

    def cycle(self, **facts: Any) -> None:
        """Report the end of one cycle of a speculative decoder; `facts` are numbers, or tensors left on the
        device."""


SILENT = Observer()


@dataclass
class PromptBatch:
    """Prompts, left-padded to one length.

    tokens: [B, P] long. pad: [B] long, the number of pad tokens before each prompt. seeds: [B] long, one
    random stream per prompt, so a prompt's samples do not depend on its batch.
    """

    tokens: Tensor
    pad: Tensor
    seeds: Tensor

    @property
    def size(self) -> int:
        """Return the number of prompts B."""
        return self.tokens.shape[0]

    @property
    def length(self) -> int:
        """Return the columns of the longest prompt."""
        return self.tokens.shape[1]


@dataclass
class Decoded:
    """The result of one generation.

    tokens: [B, N] long, N the length of the canvas. useful: [B] long, tokens before the first end token (N
    without one). nfe: forward passes of the model for the batch. token_forwards: positions per row that these
    passes processed.
    """

    tokens: Tensor
    useful: Tensor
    nfe: int
    token_forwards: int


@dataclass(frozen=True)
class Passes:
    """Forward passes of one kind, as known before a generation.

    count: number of passes. length: positions per row that each pass processes, after `past` cached ones.
    kept: positions per row for which a pass computes logits. cached: whether keys and values are stored.
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
    """The attention its model must have: "causal", "bidirectional" or "block_causal"."""
    family: ClassVar[str] = ""
    """The name of its kind of decoding in tables; empty means the decoder's name."""
    accompanied: ClassVar[tuple[str, ...]] = ()
    """The names of the companion models that it can run, such as a draft."""

    def __init__(self, settings: Any):
        self.settings = settings
        self.companions: dict[str, LanguageModel] = {}
        """Companion models by these names; set before `prepare`."""
        self.engine = "eager"
        """How the models are executed, for decoders that build models themselves. Set before `prepare`."""

    @classmethod
    def check(cls, settings: Any, new_tokens: int) -> str | None:
        """Return the reason why these settings cannot write `new_tokens` tokens, or None. Imports no torch:
        called while a study is read."""
        return None

    @classmethod
    def wants(cls, settings: Any) -> tuple[str, ...]:
        """Return the companions that these settings need; by default all of `accompanied`."""
        return cls.accompanied

    @classmethod
    def modules(cls, settings: Any) -> tuple[str, ...]:
        """Return the dotted names of the modules that this decoder loads by name with these settings: its own
        module, its strategies and further decoders. Imports no torch: for planning and provenance."""
        return (cls.__module__,)

    @classmethod
    def clocked(cls, settings: Any) -> bool:
        """Return whether the decoder chooses by the duration of its cycles with these settings, so that its counts
        of passes differ from run to run. Imports no torch."""
        return False

    @classmethod
    def passes(cls, settings: Any, prompt: int, new_tokens: int) -> list[Passes] | None:
        """Return an upper bound on the passes of a generation after `prompt` tokens; None where it depends on
        the text. Imports no torch: for planning only."""
        return None

    def prepare(self, model: LanguageModel) -> None:  # noqa: B027 (an optional hook)
        """Build the state that every generation with `model` shares; called once before warm-up, never timed."""

    @abstractmethod
    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return the `new_tokens` tokens written after each prompt, with their counts."""

    def check_outputs(self, model: LanguageModel, prompts: PromptBatch) -> list[dict[str, Any]] | None:
        """Return one dict of numbers per prompt about its generation, for scores, or None. Called once beside
        untimed generations, never timed."""
        return None
