"""k full parallel passes of a causal model over prompt and canvas: the literal flood of seed document 000.

No cache, nothing reused, no look at what is final: each pass runs everything and replaces every token by the
greedy choice after the guesses before it. After k passes the first k tokens are those of the greedy output,
and the rest are guesses.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.batching import ban, count_useful
from pardec.decoding.jacobi import Guess, first_guess

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class FullPassesSettings(Settings):
    """Full passes over prompt and canvas without a cache, each replacing every token."""

    passes: int = Field(10, ge=1)
    """Forward passes over the prompt and the whole canvas."""
    init: Guess = "eos"
    """First guess: end tokens, random tokens, or the prompt's last token over and over."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes an end token."""


class FullPasses(Decoder):
    """Parallel passes for their time; right only where the model needs few."""

    Settings = FullPassesSettings
    needs: ClassVar[str] = "causal"
    family: ClassVar[str] = "jacobi"

    @classmethod
    def check(cls, settings: FullPassesSettings, new_tokens: int) -> str | None:
        return None if new_tokens >= 1 else f"new_tokens is {new_tokens}; at least 1 is needed"

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt; the number of passes is known beforehand, so nothing
        waits for the device."""
        settings, first = self.settings, prompts.length
        pad = prompts.pad if bool(prompts.pad.any()) else None
        banned = model.info.ends if settings.eos == "ban" else ()
        with torch.inference_mode():
            observer.start()
            guess = first_guess(settings.init, model, prompts, new_tokens)
            text = torch.cat([prompts.tokens, guess], 1)
            canvas = text[:, first:]
            for number in range(settings.passes):
                logits = model(text[:, :-1], pad=pad, keep=slice(first - 1, None), canvas_start=first)
                canvas.copy_(ban(logits, banned).argmax(-1))
                last = number + 1 == settings.passes
                observer.step(new_tokens if last else 0, new_tokens if last else None)
            output = canvas.clone()
        passes = settings.passes
        useful = count_useful(output, model.info.ends)
        return Decoded(output, useful, nfe=passes, token_forwards=passes * (text.shape[1] - 1))
