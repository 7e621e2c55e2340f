"""Autoregressive decoding: the prompt in one pass, then one token per pass on cached keys and values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, Passes, PromptBatch
from pardec.decoding.batching import ban, count_useful, filler, is_end
from pardec.decoding.noise import uniform

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class AutoregressiveSettings(Settings):
    """One token per forward pass, the most probable or a drawn one."""

    temperature: float = Field(0.0, ge=0, le=100)
    """Logits are divided by this before a token is drawn; 0 takes the most probable token."""
    top_k: int | None = Field(None, ge=1)
    """Draw from this many most probable tokens only; null means all."""
    top_p: float = Field(1.0, gt=0, le=1)
    """Draw from the smallest set of most probable tokens with at least this total probability; 1 means all."""
    stop: Literal["length", "eos"] = "length"
    """`length` writes the same number of tokens on every row, the fair choice for comparing speed; `eos` stops
    once every row has written its end token, and waits for the device once per pass."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes an end token (for continuations of one length)."""


class Sequential(Decoder):
    """One token per pass by a causal model: our loop, or another library's on the same weights and settings."""

    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "autoregressive"

    @classmethod
    def check(cls, settings: AutoregressiveSettings, new_tokens: int) -> str | None:
        return check_sampling(settings, new_tokens)

    @classmethod
    def passes(cls, settings: AutoregressiveSettings, prompt: int, new_tokens: int) -> list[Passes]:
        return one_by_one(prompt, new_tokens)


class Autoregressive(Sequential):
    """Writes one token per pass on cached keys and values: the reference of every comparison."""

    Settings = AutoregressiveSettings

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        with torch.inference_mode():
            return self._decode(model, prompts, new_tokens, observer)

    def _decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ) -> Decoded:
        settings, ends, fill = self.settings, model.info.ends, filler(model.info)
        pad = prompts.pad if bool(prompts.pad.any()) else None
        last = slice(-1, None)
        observer.start()
        cache = model.new_cache(prompts.size, prompts.length + new_tokens - 1)
        # One row of memory per step: a pass reads its input and writes its output without a copy.
        written = prompts.tokens.new_empty(new_tokens, prompts.size, 1)
        noise = uniform(prompts.seeds, 0, (new_tokens,)).T if settings.temperature > 0 else None
        banned = ends if settings.eos == "ban" else ()
        ended = torch.zeros_like(prompts.pad, dtype=torch.bool) if settings.stop == "eos" and ends else None
        # A compiled model chooses inside its graph, so that no logits leave it.
        inside = noise is None and not banned and getattr(model, "chooses", False)
        choosing = {"choose": True} if inside else {}

        tokens, done = prompts.tokens, 0
        while done < new_tokens:
            result = model(tokens, pad=pad, cache=cache, keep=last, canvas_start=prompts.length, **choosing)
            if done == 0:
                observer.prefill()
            tokens = written[done]
            logits = None if inside else ban(result[:, -1], banned)
            if logits is None:
                tokens.copy_(result[1][:, -1:])
            elif noise is None:
                torch.argmax(logits, -1, True, out=tokens)
            else:
                tokens.copy_(draw(logits, settings, noise[done])[:, None])
            done += 1
            if ended is None:
                observer.step(1, done)
                continue
            writing = ~ended
            tokens.masked_fill_(ended[:, None], fill)
            ended = ended | is_end(tokens[:, 0], ends)
            observer.step(writing, done)
            if bool(ended.all()):
                written[done:] = fill
                break

        output = written[:, :, 0].T.contiguous()
        return Decoded(output, count_useful(output, ends), nfe=done, token_forwards=prompts.length + done - 1)


def one_by_one(prompt: int, new_tokens: int) -> list[Passes]:
    """Return one pass over the prompt, then one pass per token, each with half of the output as its past."""
    first = Passes(1, prompt, 0, 1, True)
    return (
        [first, Passes(new_tokens - 1, 1, prompt + new_tokens // 2, 1, True)] if new_tokens > 1 else [first]
    )


def check_sampling(settings: Any, new_tokens: int) -> str | None:
    """Return the reason why sampling settings cannot work, or None."""
    if new_tokens < 1:
        return f"new_tokens is {new_tokens}; at least 1 is needed"
    if settings.temperature == 0 and (settings.top_k is not None or settings.top_p < 1):
        return "top_k and top_p have no effect at temperature 0; raise the temperature or leave them out"
    return None


def draw(logits: Tensor, settings: AutoregressiveSettings, noise: Tensor) -> Tensor:
    """Return one drawn token per row, [B] long, by inverting the cumulative distribution.

    logits: [B, V]. noise: [B] float64 in (0, 1). Applies temperature, then top-k, then top-p.
    """
    scaled = logits.double() / settings.temperature
    if settings.top_k is None and settings.top_p >= 1:
        return _invert(scaled.softmax(-1), noise)
    scaled, order = scaled.sort(dim=-1, descending=True, stable=True)
    probabilities = scaled[:, : settings.top_k].softmax(-1)
    if settings.top_p < 1:
        # A token is kept while the more probable ones sum to less than top_p, so the first is always kept.
        before = probabilities.cumsum(-1) - probabilities
        probabilities = probabilities.masked_fill(before >= settings.top_p, 0)
    return order.gather(-1, _invert(probabilities, noise)[:, None])[:, 0]


def _invert(probabilities: Tensor, noise: Tensor) -> Tensor:
    """Return for each row the index [B] whose interval of the cumulative sum contains the row's noise.

    probabilities: [B, K] float64, not normalised. noise: [B] float64 in (0, 1), a fraction of their sum.
    """
    reached = probabilities.cumsum(-1)
    index = torch.searchsorted(reached, (noise * reached[:, -1])[:, None], right=True)[:, 0]
    return index.clamp_(max=probabilities.shape[-1] - 1)
