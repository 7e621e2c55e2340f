"""Masked-diffusion decoding as LLaDA does it: a canvas of masks, filled over a fixed number of passes.

Each pass forwards prompt and whole canvas, predicts every masked position of the current block, and commits
the share of the schedule that the remasking rule ranks first; a committed token never changes. Semantics of
the reference sampler of Nie et al., "Large Language Diffusion Models" (2025); the confidence threshold is
that of Wu et al., "Fast-dLLM" (2025). What differs from the reference, and why:

- A confidence is ranked by the probability outside the chosen token, in float32. The softmax itself saturates
  at 1.0, where all ties would go to an arbitrary position. Ties that remain go to the leftmost position.
- Gumbel noise stays in log space, so no temperature overflows, and comes from the prompt's own seed and
  position.
- The mask token itself is never written, so every pass of the schedule commits what it promises.
"""

from __future__ import annotations

from math import inf, log
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.common.settings import Settings
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, PromptBatch
from pardec.decoding.batching import count_useful
from pardec.decoding.noise import gumbel, uniform

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.base import LanguageModel

torch = lazy("torch")

PART = 1 << 24
"""Logits that are ranked or drawn from at a time. With a vocabulary of 10^5, the float32 and float64 copies
of a whole canvas would need more memory than the model's own activations."""
DEFERRED = 1e30
"""Nats of surprisal added to an end token that is to be committed last; finite, so that a masked position
still ranks before one that is not masked."""


class MaskedDiffusionSettings(Settings):
    steps: int | None = Field(None, ge=1)
    """Forward passes for the whole canvas; null means one a token. With a threshold it is the most there can
    be."""
    block: int | None = Field(None, ge=1)
    """Tokens of a block; blocks are filled from left to right. null means one block, the full canvas."""
    remasking: Literal["low_confidence", "random"] = "low_confidence"
    """Which predictions a pass commits: the most confident ones, or random ones."""
    temperature: float = Field(0.0, ge=0, le=100)
    """Gumbel noise of this scale is added to the logits before the token is chosen; 0 takes the most
    probable."""
    cfg_scale: float = Field(0.0, ge=0, le=100)
    """Classifier-free guidance: logits move this many times the distance from those without the prompt. 0 is
    off and costs nothing; above, every pass runs twice, the second time with the prompt masked."""
    eos: Literal["free", "ban", "defer"] = "free"
    """End token: `free` like any other; `ban` never written; `defer` committed only when nothing else is left
    in the block (a model that fills its canvas with end tokens is surest of those)."""
    after_eos: Literal["decode", "fill"] = "decode"
    """`fill`: once a finished block holds an end token, the rest of that row is end tokens, and decoding
    stops when this holds for every row. `decode`: every block is decoded."""
    threshold: float | None = Field(None, ge=0, le=1)
    """Commit every token whose probability is above this, and at least the schedule's share; null means the
    share alone. Low-confidence remasking only."""


class MaskedDiffusion(Decoder):
    Settings = MaskedDiffusionSettings
    needs: ClassVar[str] = "bidirectional"
    family: ClassVar[str] = "masked_diffusion"

    @classmethod
    def check(cls, settings: MaskedDiffusionSettings, new_tokens: int) -> str | None:
        if new_tokens < 1:
            return f"new_tokens is {new_tokens}; at least 1 is needed"
        block = settings.block or new_tokens
        steps = settings.steps or new_tokens
        if new_tokens % block:
            return f"block {block} does not divide new_tokens {new_tokens}"
        blocks = new_tokens // block
        if steps > new_tokens:
            return f"steps {steps} exceed new_tokens {new_tokens}: a pass commits at least one token"
        if steps % blocks:
            return (
                f"steps {steps} cannot be shared by {blocks} blocks (new_tokens {new_tokens} / block {block})"
            )
        if settings.threshold is not None and settings.remasking == "random":
            return "threshold needs remasking low_confidence: a random rank is no confidence"
        return None

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Write `new_tokens` tokens after each prompt.

        The number of passes is known beforehand, so nothing waits for the device, but for one look a pass
        with a `threshold` (is anything masked?) and one look a block with `after_eos: fill` (has every row
        ended?).

        Raises:
            UserError: the settings do not fit `new_tokens`, or the model has no mask token or no end token to
                fill.
        """
        self._refuse(model, new_tokens)
        with torch.inference_mode():
            return _Run(self.settings, model, prompts, new_tokens, observer).run()

    def _refuse(self, model: LanguageModel, new_tokens: int) -> None:
        where = "decoder masked_diffusion"
        if trouble := self.check(self.settings, new_tokens):
            raise UserError(where, trouble, "change steps, block or new_tokens")
        if model.info.mask_id is None:
            raise UserError(where, "the model has no mask token", "use a masked-diffusion model")
        if self.settings.after_eos == "fill" and model.info.eos_id is None:
            raise UserError(where, "after_eos: fill needs an end token", "set after_eos: decode")


def schedule(length: int, steps: int) -> list[int]:
    """Tokens to commit in each of `steps` passes over `length` masks: equal shares, one more in the first
    remainder."""
    share, more = divmod(length, steps)
    return [share + (step < more) for step in range(steps)]


class _Run:
    """One generation: the canvas and what is counted over it."""

    def __init__(self, settings, model, prompts, new_tokens, observer):
        self.settings, self.model, self.prompts, self.observer = settings, model, prompts, observer
        self.new_tokens = new_tokens
        self.eos, self.mask = model.info.eos_id, model.info.mask_id
        self.pad = prompts.pad if bool(prompts.pad.any()) else None
        blank = prompts.tokens.new_full((prompts.size, new_tokens), self.mask)
        self.canvas = torch.cat([prompts.tokens, blank], 1)
        self.output = self.canvas[:, prompts.length :]
        self.passes = 0
        self.uneven = settings.threshold is not None or settings.after_eos == "fill"
        """Rows may commit different numbers of tokens in one pass."""
        self.bound = (
            None if settings.threshold is None else -log(settings.threshold) if settings.threshold else inf
        )
        """The threshold as surprisal in nats."""

    def run(self) -> Decoded:
        length = self.settings.block or self.new_tokens
        blocks = self.new_tokens // length
        shares = schedule(length, (self.settings.steps or self.new_tokens) // blocks)
        self.observer.start()
        for start in range(0, self.new_tokens, length):
            stop = start + length
            self._fill_block(start, stop, shares)
            if self.settings.after_eos == "fill" and stop < self.new_tokens and self._fill_ended(stop):
                stop = self.new_tokens
            self.observer.block(stop)
            if stop == self.new_tokens:
                break
        halves = 2 if self.settings.cfg_scale > 0 else 1
        nfe = self.passes * halves
        output = self.output.clone()
        return Decoded(output, count_useful(output, self.eos), nfe, token_forwards=nfe * self.canvas.shape[1])

    def _fill_block(self, start: int, stop: int, shares: list[int]) -> None:
        region = self.output[:, start:stop]
        for step, share in enumerate(shares):
            if step and self.bound is not None and not bool((region == self.mask).any()):
                return
            # Counted by block and place in the schedule, not by passes made: a row's noise must not depend on
            # how long the other rows of its batch took to fill a block.
            self.stream = 2 * (start // (stop - start) * len(shares) + step)
            self._step(region, start, stop, share, last=step == len(shares) - 1)
            self.passes += 1

    def _step(self, region: Tensor, start: int, stop: int, share: int, last: bool) -> None:
        """One pass: predict, rank, commit. region: [B, L] view of the canvas, changed in place."""
        masked = region == self.mask
        logits = self._logits(start, stop)
        choice, rank = self._predict(logits, ranked=not last)
        choice = torch.where(masked, choice, region)
        if last:
            # The shares sum to the block, so whatever is masked now is committed.
            commit = masked
            region.copy_(choice)
        else:
            first = leftmost_smallest(rank.masked_fill_(~masked, inf), share)
            if self.bound is None:
                commit = masked.gather(1, first) if self.uneven else None
                region.scatter_(1, first, choice.gather(1, first))
            else:
                commit = (rank < self.bound).scatter_(1, first, True).logical_and_(masked)
                torch.where(commit, choice, region, out=region)
        self.observer.step(commit.sum(1) if self.uneven else share)

    def _logits(self, start: int, stop: int) -> Tensor:
        """Logits [B, L, V] of the block, guidance applied, the mask token (and a banned end token)
        excluded."""
        first = self.prompts.length
        scale = self.settings.cfg_scale
        if scale > 0:
            without = self.canvas.clone()
            without[:, :first] = self.mask
            pad = None if self.pad is None else self.pad.repeat(2)
            both = self.model.denoise(
                torch.cat([self.canvas, without]), pad, first + start, first + stop, first
            )
            given, free = both.chunk(2)
            logits = free + (scale + 1) * (given - free)
        else:
            logits = self.model.denoise(self.canvas, self.pad, first + start, first + stop, first)
        logits[..., self.mask] = -inf
        if self.settings.eos == "ban" and self.eos is not None:
            logits[..., self.eos] = -inf
        return logits

    def _predict(self, logits: Tensor, ranked: bool) -> tuple[Tensor, Tensor | None]:
        """The token chosen at each position [B, L] and, if asked, its rank key [B, L]: smaller goes first."""
        rows, length, words = logits.shape
        size = max(1, PART // (rows * words))
        parts = [self._predict_part(logits[:, k : k + size], k, ranked) for k in range(0, length, size)]
        if len(parts) == 1:
            return parts[0]
        choices, ranks = zip(*parts, strict=True)
        return torch.cat(choices, 1), torch.cat(ranks, 1) if ranked else None

    def _predict_part(self, logits: Tensor, first: int, ranked: bool) -> tuple[Tensor, Tensor | None]:
        """`_predict` for the positions of the block from `first` on."""
        settings, seeds = self.settings, self.prompts.seeds
        _, length, words = logits.shape
        choice = None
        if settings.temperature > 0:
            noise = gumbel(seeds, self.stream, (length, words), first * words).mul_(settings.temperature)
            choice = noise.add_(logits).argmax(-1)
        if not ranked:
            return (logits.argmax(-1) if choice is None else choice), None
        if settings.remasking == "random":
            rank = uniform(seeds, self.stream + 1, (length,), first)
            choice = logits.argmax(-1) if choice is None else choice
        else:
            rank, choice = surprisal(logits.float(), choice)
        if settings.eos == "defer" and self.eos is not None:
            rank = rank + (choice == self.eos) * DEFERRED
        return choice, rank

    def _fill_ended(self, stop: int) -> bool:
        """Fill rows that hold an end token before `stop`; whether that is all of them (waits for the
        device)."""
        ended = (self.output[:, :stop] == self.eos).any(1)
        self.output[:, stop:].masked_fill_(ended[:, None], self.eos)
        return bool(ended.all())


def surprisal(logits: Tensor, choice: Tensor | None) -> tuple[Tensor, Tensor]:
    """-log probability of the chosen tokens in nats, without saturation.

    logits: [..., V] float32. choice: [...] long, or None for the most probable token. Returns (surprisal,
    choice). With m the top logit and t = sum over the *other* tokens of exp(l - m), it is log1p(t) + (m -
    l[choice]); t keeps its digits when 1 + t rounds to 1.
    """
    top, best = logits.max(-1, keepdim=True)
    tail = (logits - top).exp_().scatter_(-1, best, 0).sum(-1).log1p_()
    if choice is None:
        return tail, best[..., 0]
    choice = choice[..., None]
    return tail + (top - logits.gather(-1, choice))[..., 0], choice[..., 0]


def leftmost_smallest(rank: Tensor, count: int) -> Tensor:
    """Indices [B, count] of the smallest entries of each row of [B, L]; among equals the leftmost."""
    if count == 1:
        return rank.argmin(1, keepdim=True)
    return rank.sort(dim=1, stable=True).indices[:, :count]
