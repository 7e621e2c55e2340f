"""k full parallel passes of a causal model over prompt and canvas: the literal flood of seed 000.

No cache, nothing reused, no look at what is final: each pass runs everything and replaces every token by the
greedy choice after the guesses before it. What stands after k passes is the first k tokens of the greedy
output, and guesses. Its time is that of k parallel passes; its quality is whatever it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.batching import count_useful
from pardec.decoding.jacobi import Guess, first_guess, greedy

if TYPE_CHECKING:
    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")


class FullPassesSettings(Settings):
    passes: int = Field(10, ge=1)
    """Forward passes over the prompt and the whole canvas."""
    init: Guess = "eos"
    """First guess: end tokens, random tokens, or the prompt's last token over and over."""
    eos: Literal["free", "ban"] = "free"
    """`ban` never writes the end token."""


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
        """Write `new_tokens` tokens after each prompt; the passes are known beforehand, so nothing waits."""
        settings, first = self.settings, prompts.length
        pad = prompts.pad if bool(prompts.pad.any()) else None
        banned = model.info.eos_id if settings.eos == "ban" else None
        with torch.inference_mode():
            observer.start()
            guess = first_guess(settings.init, model, prompts, new_tokens)
            text = torch.cat([prompts.tokens, guess], 1)
            canvas = text[:, first:]
            for number in range(settings.passes):
                logits = model(text[:, :-1], pad=pad, keep=slice(first - 1, None), canvas_start=first)
                canvas.copy_(greedy(logits, banned))
                observer.step(new_tokens if number + 1 == settings.passes else 0)
            observer.block(new_tokens)
            output = canvas.clone()
        passes = settings.passes
        useful = count_useful(output, model.info.eos_id)
        return Decoded(output, useful, nfe=passes, token_forwards=passes * (text.shape[1] - 1))
