"""Jacobi decoding of a causal model: guess the whole output, correct all of it in every pass.

Greedy decoding is a triangular system of equations, token i = f(tokens before i). Solved by Jacobi iteration
(Song et al. 2021, arXiv:2002.03629; for language models Santilli et al. 2023, arXiv:2305.10427) every pass
replaces each token by the model's greedy choice after the guesses before it. A token whose whole prefix did
not change is final, so each pass fixes one token at least, the fixed point is the greedy output exactly, and
no more passes are needed than tokens. Here final tokens are never run again: their keys and values stay in
the cache, and what a wrong guess left there is cropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.batching import count_useful
from pardec.decoding.noise import uniform

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

Guess = Literal["eos", "random", "repeat"]


class JacobiSettings(Settings):
    passes: int | None = Field(None, ge=1)
    """Forward passes after which the guesses are taken as they stand; null goes on to the fixed point, which
    is greedy decoding's output."""
    init: Guess = "eos"
    """First guess: end tokens, random tokens, or the prompt's last token over and over."""
    window: int | None = Field(None, ge=1)
    """Tokens that a pass corrects, counted from the first that is not final; null means all that are left."""
    stop: Literal["length", "eos"] = "length"
    """`length` writes the same number of tokens on every row; `eos` ends a row at its end token."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes the end token (for continuations of one length)."""


class Jacobi(Decoder):
    """Exact parallel greedy decoding, or, stopped early, a greedy prefix with guesses behind it."""

    Settings = JacobiSettings
    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "jacobi"

    @classmethod
    def check(cls, settings: JacobiSettings, new_tokens: int) -> str | None:
        if new_tokens < 1:
            return f"new_tokens is {new_tokens}; at least 1 is needed"
        if settings.passes is not None and settings.passes > new_tokens:
            return f"passes {settings.passes} exceed new_tokens {new_tokens}, which always suffice"
        return None

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt; waits for the device once a pass, to learn how much of
        the output is final."""
        with torch.inference_mode():
            return _Run(self.settings, model, prompts, new_tokens, observer).run()


def first_guess(kind: Guess, model: LanguageModel, prompts: PromptBatch, new_tokens: int) -> Tensor:
    """The canvas before the first pass, [B, N] long."""
    shape = prompts.size, new_tokens
    if kind == "repeat":
        return prompts.tokens[:, -1:].repeat(1, new_tokens)
    if kind == "random":
        return (uniform(prompts.seeds, 0, (new_tokens,)) * model.info.vocab_size).long()
    end = model.info.pad_id if model.info.eos_id is None else model.info.eos_id
    return prompts.tokens.new_full(shape, end)


def greedy(logits: Tensor, banned: int | None) -> Tensor:
    """The most probable token at each position. logits: [B, L, V], changed in place. Returns [B, L] long."""
    if banned is not None:
        logits[..., banned] = -torch.inf
    return logits.argmax(-1)


class _Run:
    """One generation: the canvas, and how much of each row is final."""

    def __init__(self, settings, model, prompts, new_tokens, observer):
        self.settings, self.model, self.prompts, self.observer = settings, model, prompts, observer
        self.new_tokens = new_tokens
        self.pad = prompts.pad if bool(prompts.pad.any()) else None
        eos = model.info.eos_id
        self.banned = eos if settings.eos == "ban" else None
        self.stopper = eos if settings.stop == "eos" else None
        self.fixed = torch.zeros_like(prompts.pad)
        """[B] long: how many tokens of each row are final."""

    def run(self) -> Decoded:
        settings, length, size = self.settings, self.prompts.length, self.new_tokens
        self.observer.start()
        self.canvas = first_guess(settings.init, self.model, self.prompts, size)
        cache = self.model.new_cache(self.prompts.size, length + size - 1)
        first = passes = forwards = 0
        while first < size and passes != settings.passes:
            stop = min(size, first + (settings.window or size))
            # The last final token is run, not yet seen by the cache: what follows it is what is asked for.
            tokens = self.canvas[:, first - 1 : stop - 1] if first else self._opening(stop)
            logits = self.model(
                tokens, pad=self.pad, cache=cache, keep=slice(first - stop, None), canvas_start=length
            )
            passes += 1
            forwards += tokens.shape[1]
            written = self._correct(greedy(logits, self.banned), first, stop)
            if passes == settings.passes:
                # The guesses are taken as they stand. Rows that have ended are complete already.
                self.observer.step(written + size - self.fixed)
                first = size
            else:
                self.observer.step(written)
                first = int(self.fixed.min())
                cache.crop(min(length + first - 1, cache.length))
            self.observer.block(first)
        useful = count_useful(self.canvas, self.model.info.eos_id)
        return Decoded(self.canvas, useful, nfe=passes, token_forwards=forwards)

    def _opening(self, stop: int) -> Tensor:
        """What the first pass runs: the prompt and the guesses but the last."""
        return torch.cat([self.prompts.tokens, self.canvas[:, : stop - 1]], 1)

    def _correct(self, choice: Tensor, first: int, stop: int) -> Tensor:
        """Write the choices for positions first..stop-1 and move `fixed` on.

        choice: [B, stop - first] long. Returns [B] long, the tokens that became final, ends included.
        """
        old = self.canvas[:, first:stop]
        place = torch.arange(first, stop, device=old.device)
        # A row ahead of the others was run again on the same prefix; rounding must not change it.
        choice = torch.where(place < self.fixed[:, None], old, choice)
        same = (choice == old).long().cumprod(1).sum(1)
        # One more than did not change: it was chosen after a prefix that is right.
        fixed = (first + same + 1).clamp(max=stop).maximum(self.fixed)
        old.copy_(choice)
        written = fixed - self.fixed
        if self.stopper is not None:
            ends = (
                (choice == self.stopper) & (place < fixed[:, None]) & (self.fixed < self.new_tokens)[:, None]
            )
            ended = ends.any(1)
            end = first + ends.int().argmax(1)
            written = torch.where(ended, end + 1 - self.fixed, written)
            fixed = fixed.masked_fill(ended, self.new_tokens)
            after = torch.arange(self.new_tokens, device=old.device) > end[:, None]
            self.canvas.masked_fill_(after & ended[:, None], self.stopper)
        self.fixed = fixed
        return written
