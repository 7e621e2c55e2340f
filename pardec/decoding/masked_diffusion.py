"""Masked-diffusion decoding as in LLaDA: a canvas of masks, filled over a fixed number of passes.

Each pass forwards the prompt and the whole canvas, predicts every masked position of the current block, and
commits the schedule's share of them, those ranked first by the remasking rule; a committed token never
changes, unless `remask` or `edit` allows it. Semantics of the reference
sampler of Nie et al., "Large Language Diffusion Models" (2025); the confidence threshold is that of Wu et al.,
"Fast-dLLM" (2025). Differences from the reference:

- Ranks do not saturate (`pardec.decoding.commits`), and remaining ties go to the leftmost position.
- Gumbel noise stays in log space, so no temperature overflows, and depends on the prompt's seed and the
  position alone.
- The mask token is never written, so every pass commits its full share.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pardec.common.errors import UserError
from pardec.common.lazy import lazy
from pardec.decoding.base import SILENT, Decoded, Decoder, Observer, Passes, PromptBatch
from pardec.decoding.batching import ban, count_useful, filler, is_end
from pardec.decoding.commits import (
    CommitSettings,
    commit_trouble,
    gap,
    leftmost_smallest,
    rank,
    surest,
)
from pardec.decoding.noise import gumbel, uniform
from pardec.decoding.revision import editable, mask_again

if TYPE_CHECKING:
    from torch import Tensor

    from pardec.models.architectures.base import LanguageModel

torch = lazy("torch")

PART = 1 << 24
"""Number of logits that are ranked or drawn from at once. With a vocabulary of 10^5, the float32 and float64
copies of a whole canvas would need more memory than the model's activations."""
CPU_PART = 1 << 20
"""The same on a CPU, where a part that fits its caches is also faster."""
WIDE = 512
"""Vocabulary size from which leaving committed positions out of the output head and the ranking saves time."""
DEFERRED = 1e30
"""Nats of surprisal added to a deferred end token; finite, so a masked position still ranks before one that is
not masked."""


class MaskedDiffusionSettings(CommitSettings):
    """A canvas of mask tokens; each pass replaces some of them."""

    steps: int | None = Field(None, ge=1)
    """Forward passes for the whole canvas; null means one per token. With a threshold, a factor or an entropy bound,
    their upper bound."""
    block: int | None = Field(None, ge=1)
    """Tokens per block; blocks are filled from left to right. null means one block, the full canvas."""
    temperature: float = Field(0.0, ge=0, le=100)
    """Scale of the Gumbel noise added to the logits before the token is chosen; 0 takes the most probable."""
    cfg_scale: float = Field(0.0, ge=0, le=100)
    """Classifier-free guidance: logits move away from those without the prompt by this multiple of their
    distance. 0 is off; above 0 every pass runs twice, the second time with the prompt masked."""
    eos: Literal["free", "ban", "defer"] = "free"
    """End token: `free` treats it like any other; `ban` never writes it; `defer` commits it only when nothing
    else is left in the block (a model that fills its canvas with end tokens is most confident of those)."""
    after_eos: Literal["decode", "fill"] = "decode"
    """`fill`: once a finished block contains an end token, the rest of that row becomes end tokens, and decoding
    stops when every row is filled. `decode`: every block is decoded."""
    remask: float = Field(0.0, ge=0, lt=1)
    """Share of a block's committed tokens that each of its passes but the last masks again, those committed with the
    least confidence first, so that later passes may correct them; 0 is off. Needs the schedule's share alone."""
    early_commit: float | None = Field(None, ge=0, le=1e9)
    """Fill the rest of a row's block in one pass once its masks are decided: once the two largest logits differ by this
    on average, three times this in the first third of the block's passes, twice this in the second (Prophet, 2.5
    there). null never does."""
    edit: float | None = Field(None, ge=0, le=1)
    """Each pass replaces those committed tokens of its block whose most probable token is another one with a
    probability above this (LLaDA 2.1, arXiv:2602.08676); null and 1 replace none."""
    edit_passes: int = Field(0, ge=0, le=64)
    """Most further passes over a full block that only edit; they end once a pass changes no token."""


class MaskedDiffusion(Decoder):
    """Fills a canvas of masks in a set number of passes (LLaDA), by blocks or whole."""

    Settings = MaskedDiffusionSettings
    needs: ClassVar[str] = "bidirectional"
    family: ClassVar[str] = "masked_diffusion"
    name: ClassVar[str] = "masked_diffusion"

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
        free = settings.bound or (None if settings.early_commit is None else "early_commit")
        if settings.remask and free is not None:
            return f"remask needs the schedule's share; {free} commits as much as it likes"
        return commit_trouble(settings) or _edit_trouble(settings)

    @classmethod
    def passes(cls, settings: MaskedDiffusionSettings, prompt: int, new_tokens: int) -> list[Passes]:
        count = most_passes(settings, new_tokens) * (2 if settings.cfg_scale > 0 else 1)
        return [Passes(count, prompt + new_tokens, 0, settings.block or new_tokens, False)]

    def decode(
        self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer = SILENT
    ) -> Decoded:
        """Return the `new_tokens` tokens written after each prompt.

        The number of passes is known beforehand, so decoding waits for the device only once per pass with a
        `threshold` or `early_commit` (is anything masked?) and in `edit_passes` (has anything changed?), and once per
        block with `after_eos: fill` (has every row ended?).

        Raises:
            UserError: the settings do not fit `new_tokens`, or the model has no mask token, or no end token to
                fill with.
        """
        self._refuse(model, new_tokens)
        with torch.inference_mode():
            return self._start(model, prompts, new_tokens, observer).run()

    def _start(self, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer) -> Run:
        return Run(self.settings, model, prompts, new_tokens, observer)

    def _refuse(self, model: LanguageModel, new_tokens: int) -> None:
        where = f"decoder {self.name}"
        if trouble := self.check(self.settings, new_tokens):
            raise UserError(where, trouble, "change steps, block or new_tokens")
        if model.info.mask_id is None:
            raise UserError(where, "the model has no mask token", "use a masked-diffusion model")
        if self.settings.after_eos == "fill" and not model.info.ends:
            raise UserError(where, "after_eos: fill needs an end token", "set after_eos: decode")


def _edit_trouble(settings: MaskedDiffusionSettings) -> str | None:
    """Return the reason why a token cannot be edited with these settings, or None."""
    if settings.edit is None:
        return (
            "edit_passes need edit, the probability above which they replace a token"
            if settings.edit_passes
            else None
        )
    wanted = {"remasking": "low_confidence", "temperature": 0, "remask": 0, "after_eos": "decode"}
    for name, value in wanted.items():
        if getattr(settings, name) != value:
            return f"edit needs {name} {value}, not {getattr(settings, name)}"
    return None


def most_passes(settings: MaskedDiffusionSettings, new_tokens: int) -> int:
    """Return an upper bound on the passes of a generation."""
    blocks = new_tokens // (settings.block or new_tokens)
    return (settings.steps or new_tokens) + blocks * settings.edit_passes


def schedule(length: int, steps: int) -> list[int]:
    """Return the number of tokens to commit in each of `steps` passes over `length` masks: equal shares, the
    remainder spread over the first passes."""
    share, remainder = divmod(length, steps)
    return [share + (step < remainder) for step in range(steps)]


class Run:
    """One generation: the canvas and its counters."""

    def __init__(
        self, settings: Any, model: LanguageModel, prompts: PromptBatch, new_tokens: int, observer: Observer
    ):
        self.settings, self.model, self.prompts, self.observer = settings, model, prompts, observer
        self.new_tokens = new_tokens
        assert model.info.mask_id is not None
        self.fill, self.ends, self.mask = filler(model.info), model.info.ends, model.info.mask_id
        self.pad = prompts.pad if bool(prompts.pad.any()) else None
        blank = prompts.tokens.new_full((prompts.size, new_tokens), self.mask)
        self.canvas = torch.cat([prompts.tokens, blank], 1)
        self.output = self.canvas[:, prompts.length :]
        self.passes = 0
        self.forwarded = 0
        """Positions per row that all passes have processed."""
        self.early = settings.bound is not None or settings.early_commit is not None
        """A block may be full before its schedule ends."""
        drawn = settings.temperature > 0 or settings.remasking == "random"
        whole = drawn or settings.remask > 0 or settings.edit is not None or settings.cfg_scale > 0
        self.sparse = not whole and model.info.vocab_size >= WIDE
        """Compute logits at masked positions only; not with random numbers, which are drawn for all positions."""
        self.least = inf
        """Mean gap of logits from which a pass fills a row's block."""
        self.uneven = self.early or settings.after_eos == "fill"
        """Rows may commit different numbers of tokens in one pass."""
        self.doubt = torch.full_like(self.output, -inf, dtype=torch.float32) if settings.remask else None
        """[B, N]: the rank with which each token was committed, -inf where none was."""

    def run(self) -> Decoded:
        """Decode, and return the output of all rows."""
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
        nfe = self.passes * (2 if self.settings.cfg_scale > 0 else 1)
        output = self.output.clone()
        return Decoded(output, count_useful(output, self.ends), nfe, token_forwards=self.forwarded)

    def _fill_block(self, start: int, stop: int, shares: list[int]) -> None:
        region, left = self.output[:, start:stop], stop - start
        again = 0
        for step, share in enumerate(shares):
            if step and self.early:
                left = int((region == self.mask).sum(1).max())
                if left == 0:
                    break
            if self.settings.early_commit is not None:
                self.least = (3 - 3 * step // len(shares)) * self.settings.early_commit
            # Numbered by block and step of the schedule, not by passes made: a row's noise must not depend on
            # the passes that other rows of its batch needed.
            self.stream = 2 * (start // (stop - start) * len(shares) + step)
            within = self._masked_places(region, left) if self.sparse and left < stop - start else None
            share += again
            left -= share
            again = 0 if step == len(shares) - 1 else int(self.settings.remask * (stop - start - left))
            self._step(region, start, stop, share, step == len(shares) - 1, within, again)
            left += again
            self.passes += 1
        for _ in range(self.settings.edit_passes):
            if not self._edit(region, start, stop):
                break

    def _edit(self, region: Tensor, start: int, stop: int) -> bool:
        """Run one pass that only edits; return whether it changed a token (waits for the device)."""
        choice, ranked = self._predict(self._logits(start, stop, None), ranked=True)
        assert ranked is not None
        edited = editable(region, choice, ranked, self.settings.edit, self.mask)
        torch.where(edited, choice, region, out=region)
        self.passes += 1
        self.observer.phase("sampler")
        self.observer.step(0)
        return bool(edited.any())

    def _masked_places(self, region: Tensor, count: int) -> Tensor:
        """Return the positions [B, count] of each row's masks, left to right; rows with fewer masks are filled up
        with other positions."""
        return (region != self.mask).byte().sort(dim=1, stable=True).indices[:, :count]

    def _step(
        self,
        region: Tensor,
        start: int,
        stop: int,
        share: int,
        last: bool,
        within: Tensor | None,
        again: int = 0,
    ) -> None:
        """Run one pass: predict, rank, commit.

        region: [B, L] view of the canvas, changed in place. within: [B, K], positions of the block that include
        all its masks; None means all positions. again: tokens per row to mask again."""
        masked = region == self.mask
        logits = self._logits(start, stop, within)
        decided = None
        if self.least < inf and not last:
            left = masked if within is None else masked.gather(1, within)
            decided = gap(logits, left) >= self.least
        editing = self.settings.edit is not None
        choice, ranked = self._predict(logits, ranked=editing or not last)
        if within is not None:
            choice = region.scatter(1, within, choice)
            ranked = (
                None if ranked is None else ranked.new_full(region.shape, inf).scatter_(1, within, ranked)
            )
        edited = None
        if editing and ranked is not None:
            edited = editable(region, choice, ranked, self.settings.edit, self.mask)
        choice = torch.where(masked if edited is None else masked | edited, choice, region)
        commit = masked
        if last:
            # The shares sum to the block, so everything still masked is committed.
            region.copy_(choice)
        else:
            assert ranked is not None
            first = leftmost_smallest(ranked.masked_fill_(~masked, inf), share)
            if not self.early:
                if self.uneven:
                    commit = masked.gather(1, first)
                region.scatter_(1, first, choice.gather(1, first))
            else:
                commit = surest(self.settings, ranked).scatter_(1, first, True)
                commit = (commit if decided is None else commit | decided[:, None]).logical_and_(masked)
                torch.where(commit, choice, region, out=region)
            if edited is not None:
                torch.where(edited, choice, region, out=region)
            if self.doubt is not None:
                doubts = ranked.gather(1, first)
                self.doubt[:, start:stop].scatter_(1, first, doubts.masked_fill(doubts == inf, -inf))
        lost = None
        if again and self.doubt is not None:
            lost = mask_again(region, self.doubt[:, start:stop], again, self.mask)
        self.observer.phase("sampler")
        if not self.uneven:
            self.observer.step(share - again)
        else:
            self.observer.step(commit.sum(1) if lost is None else commit.sum(1) - lost.sum(1))

    def _logits(self, start: int, stop: int, within: Tensor | None) -> Tensor:
        """Return logits [B, L or K, V] of the block, or of its positions `within`; guidance applied, the mask
        token (and banned end tokens) at -inf."""
        logits = self._forward(start, stop, within)
        self.observer.phase("forward")
        logits[..., self.mask] = -inf
        return ban(logits, self.ends) if self.settings.eos == "ban" else logits

    def _forward(self, start: int, stop: int, within: Tensor | None) -> Tensor:
        """Return logits [B, L or K, V] of the block from one pass of the model, or two with guidance."""
        first = self.prompts.length
        self.forwarded += self.canvas.shape[1] * (2 if self.settings.cfg_scale > 0 else 1)
        scale = self.settings.cfg_scale
        if scale > 0:
            without = self.canvas.clone()
            without[:, :first] = self.mask
            pad = None if self.pad is None else self.pad.repeat(2)
            both = self.model.denoise(
                torch.cat([self.canvas, without]), pad, first + start, first + stop, first
            )
            given, free = both.chunk(2)
            return free + (scale + 1) * (given - free)
        return self.model.denoise(self.canvas, self.pad, first + start, first + stop, first, within)

    def _predict(self, logits: Tensor, ranked: bool) -> tuple[Tensor, Tensor | None]:
        """Return the token chosen at each position [B, L] and, if `ranked`, its rank key [B, L]: smallest first."""
        rows, length, vocabulary = logits.shape
        part = min(PART, CPU_PART) if logits.device.type == "cpu" else PART
        size = max(1, part // (rows * vocabulary))
        parts = [self._predict_part(logits[:, k : k + size], k, ranked) for k in range(0, length, size)]
        if len(parts) == 1:
            return parts[0]
        choices, ranks = zip(*parts, strict=True)
        return torch.cat(choices, 1), torch.cat(ranks, 1) if ranked else None

    def _predict_part(self, logits: Tensor, first: int, ranked: bool) -> tuple[Tensor, Tensor | None]:
        """Return `_predict` of one part of the block, which begins at position `first`."""
        settings, seeds = self.settings, self.prompts.seeds
        _, length, vocabulary = logits.shape
        choice = None
        if settings.temperature > 0:
            noise = gumbel(seeds, self.stream, (length, vocabulary), first * vocabulary).mul_(
                settings.temperature
            )
            choice = noise.add_(logits).argmax(-1)
        if not ranked:
            return (logits.argmax(-1) if choice is None else choice), None
        if settings.remasking == "random":
            ranked_by = uniform(seeds, self.stream + 1, (length,), first)
            choice = logits.argmax(-1) if choice is None else choice
        else:
            ranked_by, choice = rank(settings, logits.float(), choice)
        if settings.eos == "defer" and self.ends:
            ranked_by = ranked_by + is_end(choice, self.ends) * DEFERRED
        return choice, ranked_by

    def _fill_ended(self, stop: int) -> bool:
        """Fill rows with an end token before `stop`; return whether all rows are filled (waits for the device)."""
        ended = is_end(self.output[:, :stop], self.ends).any(1)
        self.output[:, stop:].masked_fill_(ended[:, None], self.fill)
        return bool(ended.all())
